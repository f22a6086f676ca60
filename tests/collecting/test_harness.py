"""The harness: what every collection shares, seen through one that keeps a word of each problem."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue
from support.training_fakes import guesser_config

from collab import Problem, Recipe, Result, Until, WordUnit
from collab.collecting.harness import Collection, collect
from collab.collecting.problems import chosen_problems, ensured_places
from collab.errors import ConfigError, ProblemFileError, RunDirectoryError
from collab.runs.config import RunConfig
from collab.runs.runner import Progress
from collab.seam import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Collection):
    """The first word of each answer."""

    enough: int = 99
    option: str = "x"

    @property
    def compared(self) -> dict[str, JsonValue]:
        return {"collecting": {"option": self.option}}

    def recipe(self) -> Recipe:
        return Recipe(unit=WordUnit(), segment=Until(2))

    def recipe_for(self, recipe: Recipe, models: Mapping[str, Model]) -> Recipe:
        if self.option == "unfit":
            raise ConfigError(f"{models['generator'].name!r} cannot be read like this")
        return recipe

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        return {"word": result.text.split()[0] if result.text else None}

    def is_enough(self, outcomes: Mapping[str, int]) -> bool:
        return outcomes["correct"] >= self.enough


def words(config: RunConfig, *, enough: int = 99, option: str = "x", models: bool = False) -> Words:
    source, _ = ensured_places(config, "testing")
    problems = chosen_problems(config, source)
    return Words(
        config=config, problems=problems, enough=enough, option=option, needs_models=models
    )


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


async def test_what_comes_of_each_problem_is_on_disk_before_it_is_reported(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, problems=3)
    on_disk: list[int] = []

    def see(progress: Progress) -> None:
        if progress.row is not None:
            on_disk.append(len(rows(tmp_path / "out")) - progress.done)

    await collect(words(config), tmp_path / "out", on_progress=see)

    assert on_disk == [0, 0, 0]
    found = {str(row["id"]): (row["place"], row["word"]) for row in rows(tmp_path / "out")}
    assert found == {"p1": (0, "I"), "p2": (1, "I"), "p3": (2, "I")}
    models = rows(tmp_path / "out")[0]["models"]
    assert isinstance(models, dict)
    assert models["generator"] == {
        "name": "even",
        "fingerprint": "f",
        "blocks": None,
        "hidden_size": 2,
    }


async def test_it_ends_where_enough_is_collected_and_goes_on_where_more_is_wanted(
    tmp_path: Path,
) -> None:
    config = guesser_config(tmp_path, problems=8, concurrency=1)
    events: list[Progress] = []

    await collect(words(config, enough=2), tmp_path / "out", on_progress=lambda _: None)
    few = len(rows(tmp_path / "out"))
    await collect(words(config, enough=3), tmp_path / "out", on_progress=events.append)

    # The generator is right for even numbers: p2 and p4, then p6.
    # One more may have been in work already.
    assert few in (4, 5)
    assert events[0].done == few
    assert len(rows(tmp_path / "out")) in (6, 7)


async def test_without_work_models_are_connected_only_if_they_are_needed(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, problems=2)
    first = await collect(words(config), tmp_path / "out", on_progress=lambda _: None)

    again = await collect(words(config), tmp_path / "out", on_progress=lambda _: None)
    needed = await collect(words(config, models=True), tmp_path / "out", on_progress=lambda _: None)

    assert again == {}
    assert needed == first
    assert first["generator"].hidden_size == 2


async def test_what_does_not_fit_the_models_is_said_before_anything_is_written(
    tmp_path: Path,
) -> None:
    config = guesser_config(tmp_path, problems=2)

    with pytest.raises(ConfigError, match="'even' cannot be read like this"):
        await collect(words(config, option="unfit"), tmp_path / "out", on_progress=lambda _: None)
    assert not (tmp_path / "out/config.json").exists()


async def test_what_was_collected_otherwise_is_not_mixed_with_it(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, problems=2)
    await collect(words(config), tmp_path / "out", on_progress=lambda _: None)

    with pytest.raises(RunDirectoryError, match=r'collecting.option: "x" there, "y" now'):
        await collect(words(config, option="y"), tmp_path / "out", on_progress=lambda _: None)


async def test_what_given_up_problems_have_cost_is_kept(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, problems=6, concurrency=3)

    with anyio.CancelScope() as scope:

        def cancel(progress: Progress) -> None:
            if progress.done == 1:
                scope.cancel()

        await collect(words(config), tmp_path / "out", on_progress=cancel)

    abandoned = [
        json.loads(line) for line in (tmp_path / "out/abandoned.jsonl").read_text().splitlines()
    ]
    kept = {row["id"] for row in rows(tmp_path / "out")}
    assert abandoned
    assert all(one["calls"] for one in abandoned)
    assert kept.isdisjoint(one["id"] for one in abandoned)


def test_broken_lines_are_no_problems_and_none_at_all_is_refused(tmp_path: Path) -> None:
    config = guesser_config(tmp_path, problems=1)
    source, _ = ensured_places(config, "testing")
    (tmp_path / "problems.jsonl").write_text('{"id": "p1", "prompt": "1 + 1 = "}\nnot JSON\n')

    assert chosen_problems(config, source) == [Problem(id="p1", prompt="1 + 1 = ")]
    with pytest.raises(ProblemFileError, match="there is no problem in"):
        chosen_problems(config.model_copy(update={"offset": 1}), source)
