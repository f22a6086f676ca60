"""The notes of `collab run`: what went wrong, and what to change."""

import json
import random
from pathlib import Path

import pytest
from pydantic import Field
from support.cli_helpers import invoke, write_config
from support.run_fakes import ADDER

from collab.decisions import Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession


class Calm(Policy):
    """Never asks, and gives the unit's number as its signal."""

    threshold: float = Field(default=100.0, description="Ask from it on.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return CalmSession()


class CalmSession(PolicySession):
    def decide(self, draft: Draft) -> Decision:
        return Continue(signal=float(draft.unit))


CALM = f"{Path(__file__)}:Calm"


def test_a_mentor_that_was_never_asked_is_noted_with_the_signal_and_the_options(
    tmp_path: Path,
) -> None:
    config = write_config(tmp_path, problems=2, policy={"use": CALM, "threshold": 50.0})

    shown = invoke("run", config)

    # The words of "I add both. The answer is 3.": units 0 to 6 of each of both answers.
    told = json.loads((tmp_path / "out/summary.json").read_text())["decisions"]
    assert told == {"count": 14, "asking": 0, "signal_min_median_max": [0.0, 3.0, 6.0]}
    assert (
        f"note: no mentor was asked in 14 decisions of {CALM}; its signal was 0 to 6, with the "
        "median 3, and its numbers are threshold=50.0: set another with --set policy.OPTION=VALUE "
        f"and another --out (`collab ls policies {CALM}` explains them)" in shown.stdout
    )


@pytest.mark.parametrize(
    "values",
    [
        {"policy": "always"},  # asks
        {"policy": "never"},  # is there to ask no one, and decides nothing
        {"policy": CALM, "verifiers": [], "pair": {"generator": ADDER}},  # has no one to ask
    ],
)
def test_there_is_no_such_note_where_nothing_is_odd(
    values: dict[str, object], tmp_path: Path
) -> None:
    shown = invoke("run", write_config(tmp_path, problems=2, **values))

    assert shown.exit_code == 0
    assert "note: no mentor was asked" not in shown.stdout


def test_answers_that_end_by_length_are_told_to_be_longer(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=2, policy="never", max_answer_tokens=3)

    shown = invoke("run", config)

    assert (
        "note: 100.0 % of the answers were cut off (2 length): raise max_answer_tokens where they "
        "end by length (or, in a recipe by steps, thinking_tokens)\n" in shown.stdout
    )
    assert "repeat_limit" not in shown.stdout


def test_answers_that_end_by_repetition_are_not_told_to_be_longer(tmp_path: Path) -> None:
    pair = {"generator": {"use": ADDER, "says": "so so so so"}, "mentor": ADDER}
    config = write_config(tmp_path, problems=2, pair=pair, policy=CALM, repeat_limit=2)

    shown = invoke("run", config)

    assert (
        "note: 100.0 % of the answers were cut off (2 repeat): repeat: the generator loops, and "
        "more tokens do not help; look at the options repeat_limit and sampling\n" in shown.stdout
    )
    assert "max_answer_tokens" not in shown.stdout
