"""Directories that an earlier version wrote: they are read, and gone on with.

`tests/data/collected` was written by that version, with the fakes of `support`.
"""

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from support.steering_fakes import stepper_config
from support.training_fakes import Parity, guesser_config

from collab.calibrating.recording import read_recorded, record
from collab.collecting.reading import KnownModel
from collab.extraction.collecting import collect_steps, read_collected_steps
from collab.extraction.extracting import extract
from collab.recipes import Recipe
from collab.runs.config import RunConfig
from collab.runs.runner import Progress
from collab.training.collecting import collect_branches, read_collected_branches
from collab.units import StepUnit
from collab_policies.never import Never
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.steering_vectors.extractor import VectorExtractor

COLLECTED = Path(__file__).parents[1] / "data/collected"
STEPPER = {"pair": {"generator": {"use": "support.steering_fakes:Stepper"}}}
GUESSERS = {
    "pair": {
        "generator": {"use": "support.training_fakes:Guesser", "even": True},
        "mentor": {"use": "support.training_fakes:Guesser", "even": False},
    }
}
RECIPE = Recipe(policy=Never(), unit=StepUnit())


def test_steps_in_npy_files_are_read() -> None:
    found = read_collected_steps(COLLECTED / "extraction/out")

    wrong, right = found.texts[:2]
    assert [step.text for step in wrong.steps] == ["Wait, let me see.\n\n", "The answer is 1."]
    assert (wrong.is_right, right.is_right, right.layers) == (False, True, (3,))
    assert np.array_equal(right.states(), [[[1.0, 2.0]], [[1.0, 2.0]]])
    assert found.source.models == {"generator": KnownModel("stepper", "f", 4, 2)}


def test_branches_with_states_in_their_rows_are_read() -> None:
    found = read_collected_branches(COLLECTED / "training/out")

    (odd,), (even,) = found.branches["p1"], found.branches["p2"]
    assert (odd.own, odd.offered, odd.own_right, odd.offered_right) == (" 3.", " 2.", 0.0, 1.0)
    assert (even.unit, list(even.state)) == (6, [3.0, 1.0])
    assert {role: one.name for role, one in found.source.models.items()} == {
        "generator": "even",
        "mentor": "odd",
    }


def test_signals_of_steps_are_read() -> None:
    found = read_recorded(COLLECTED / "calibrating/out", "sha")

    first, second, third = found.texts[0].steps
    assert (first.text, first.opening) == ("Let me add.\n\n", {})
    assert first.closing == second.opening == second.closing == third.opening
    assert second.opening == {"rank.1": [1.0, 2.0]}
    assert (second.tokens, third.is_last, third.is_bad) == (7, True, None)
    assert (found.source.generator, found.source.hidden_size) == ("stepper", 2)


async def _go_on_extracting(folder: Path, on_progress: Callable[[Progress], None]) -> None:
    config = stepper_config(folder, problems=4, **STEPPER)
    await collect_steps(config, VectorExtractor(), on_progress=on_progress)


async def _go_on_training(folder: Path, on_progress: Callable[[Progress], None]) -> None:
    config = guesser_config(folder, problems=4, **GUESSERS)
    await collect_branches(config, Parity(), on_progress=on_progress)


async def _go_on_calibrating(folder: Path, on_progress: Callable[[Progress], None]) -> None:
    pair = {"generator": STEPPER["pair"]["generator"], "mentor": STEPPER["pair"]["generator"]}
    config: RunConfig = stepper_config(folder, problems=2, pair=pair)
    await record(config, RECIPE, RankCalibrator(layers=(1,)), on_progress=on_progress)


@pytest.mark.parametrize(
    ("name", "go_on", "problems"),
    [
        ("extraction", _go_on_extracting, 4),
        ("training", _go_on_training, 4),
        ("calibrating", _go_on_calibrating, 2),
    ],
)
async def test_what_is_missing_is_added_in_the_form_of_now(
    name: str,
    go_on: Callable[[Path, Callable[[Progress], None]], Awaitable[None]],
    problems: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("support.steering_fakes.STEPPER", "support.steering_fakes:Stepper")
    folder = tmp_path / name
    shutil.copytree(COLLECTED / name, folder)
    results = folder / "out/results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]))
    events: list[Progress] = []

    await go_on(folder, events.append)

    assert [event.done for event in events] == [problems - 1, problems]
    added = json.loads(results.read_text().splitlines()[-1])
    before = json.loads(lines[-1])
    assert added["id"] == before["id"]
    assert added["states"]["file"].endswith(".npz")
    assert added["models"]["generator"]["hidden_size"] == 2


async def test_old_and_new_rows_make_the_vector_that_new_ones_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.steering_fakes.STEPPER", "support.steering_fakes:Stepper")
    folder = tmp_path / "extraction"
    shutil.copytree(COLLECTED / "extraction", folder)
    results = folder / "out/results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]))
    await _go_on_extracting(folder, lambda _: None)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    await _go_on_extracting(fresh, lambda _: None)

    mixed, new = (
        extract(VectorExtractor(), read_collected_steps(one / "out"))[0] for one in (folder, fresh)
    )

    assert mixed.measures == new.measures
    assert mixed.generator == new.generator
