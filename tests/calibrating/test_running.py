"""Running the pair with thresholds: what is counted, and that nothing is run twice."""

import json
from pathlib import Path

import pytest
from support.training_fakes import GUESSER, guesser_config

from collab import Policy, Recipe, Until
from collab.calibrating.aiming import Kind, Target
from collab.calibrating.running import run_with
from collab.errors import TrainingError
from collab.runs.config import RunConfig
from collab.runs.runner import Progress
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never

PRICE = {"prompt": 1_000_000, "completion": 2_000_000}
"""Dollars per million tokens: one for each token of a prompt, two for each that is decoded."""


def priced(folder: Path, **generator: object) -> RunConfig:
    pair = {
        "generator": {"use": GUESSER, "even": True, "price": PRICE, **generator},
        "mentor": {"use": GUESSER, "even": False, "price": PRICE},
    }
    (folder / "out").mkdir()
    return guesser_config(folder, problems=3, pair=pair)


def recipe(policy: Policy) -> Recipe:
    return Recipe(policy=policy, verifiers=(AlwaysMentor(),), segment=Until(2))


@pytest.mark.parametrize(
    ("policy", "kind", "reached"),
    [
        (Always(), "share", 1.0),
        (Never(), "share", 0.0),
        (Always(), "steps", 1.0),
        (Never(), "steps", 0.0),
    ],
)
async def test_what_a_target_counts_is_counted(
    policy: Policy, kind: Kind, reached: float, tmp_path: Path
) -> None:
    target = Target(kind, 0.5)

    found = await run_with(
        priced(tmp_path), recipe(policy), {"x": 1}, target, on_progress=lambda _: None
    )

    assert found == reached


async def test_a_cost_is_that_of_all_calls_for_each_problem(tmp_path: Path) -> None:
    found = await run_with(
        priced(tmp_path), recipe(Always()), {}, Target("cost", 1), on_progress=lambda _: None
    )

    (folder,) = (tmp_path / "out/pair").iterdir()
    ledger = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    calls = [call for one in ledger for call in one["calls"]]
    assert len(ledger) == 3
    assert found == pytest.approx(
        sum(call["prompt_tokens"] + 2 * call["completion_tokens"] for call in calls) / 3
    )


async def test_equal_thresholds_are_run_once_and_others_apart(tmp_path: Path) -> None:
    config, target = priced(tmp_path), Target("share", 0.5)
    events: list[Progress] = []
    first = await run_with(config, recipe(Always()), {"x": 1}, target, on_progress=lambda _: None)

    again = await run_with(config, recipe(Always()), {"x": 1}, target, on_progress=events.append)
    other = await run_with(config, recipe(Never()), {"x": 2}, target, on_progress=lambda _: None)

    assert (first, again, other) == (1.0, 1.0, 0.0)
    assert [event.done for event in events] == [3]
    assert len(list((tmp_path / "out/pair").iterdir())) == 2


async def test_where_every_problem_fails_the_reason_is_told(tmp_path: Path) -> None:
    config = priced(tmp_path, fails_at=0).model_copy(update={"limit": 1})

    with pytest.raises(TrainingError, match="no problem was answered .*; 1 problems failed, the"):
        await run_with(
            config, recipe(Never()), {}, Target("share", 0.5), on_progress=lambda _: None
        )
