"""How problems end: budgets, deadlines, failures."""

import pytest
from support.plugins import Says, Scripted, fails_with, solve

from collab import (
    Budget,
    Consult,
    Draft,
    Policy,
    StepUnit,
    TokenUnit,
    Until,
    Verdict,
    WordUnit,
)
from collab.decisions import Decision
from collab.errors import ConfigError
from collab.recipes import Recipe
from collab.testing import FakeModel
from collab.trace import Ended
from collab.units import Unit
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(max_tokens=4), "budget: max_tokens"),
        (Budget(max_mentor_tokens=2), "budget: max_mentor_tokens"),
        (Budget(max_calls=3), "budget: max_calls"),
    ],
)
async def test_a_spent_budget_stops_the_problem_cleanly(budget: Budget, reason: str) -> None:
    result = await solve(
        Always(),
        generator=FakeModel("a b c d e f g h"),
        mentor=FakeModel("A B C D E F G H"),
        verifiers=[Says(verdict=Verdict("mentor"))],
        segment=Until(2),
        budget=budget,
    )

    assert (str(result.ending), result.error) == (reason, None)
    assert result.text.startswith("A B")
    assert isinstance(result.events[-1], Ended)


async def test_a_deadline_stops_a_stuck_model_and_keeps_what_stands() -> None:
    mentor = FakeModel("A B", is_stuck=True)

    result = await solve(
        Scripted(script={1: Consult()}),
        generator=FakeModel("a b c"),
        mentor=mentor,
        budget=Budget(deadline_s=0.05),
    )

    assert (result.text, str(result.ending)) == ("a", "budget: deadline_s")
    assert [c.outcome for c in result.calls if c.role == "mentor"] == ["cancelled"]
    assert mentor.open_sessions == 0


async def test_a_policy_that_raises_fails_its_problem_with_the_partial_trace() -> None:
    def fail(draft: Draft) -> Decision:
        raise KeyError("oops")

    result = await solve(Scripted(script={2: fail}), generator=FakeModel("a b c d"))

    assert (result.reason, result.text) == ("error", "a b")
    fails_with(Exception, r"policy 'Scripted' raised at unit 2: KeyError: 'oops'")(result)


async def test_a_policy_that_returns_no_decision_is_told_so() -> None:
    result = await solve(Scripted(script={1: "consult"}), generator=FakeModel("a b c"))

    fails_with(Exception, r"returned 'consult' at unit 1; expected one of Continue")(result)


async def test_a_policy_that_asks_for_an_unknown_mentor_is_told_whom_there_is() -> None:
    result = await solve(
        Scripted(script={0: Consult("oracle")}), generator=FakeModel("a"), mentor=FakeModel("b")
    )

    fails_with(Exception, r"asked for the mentor 'oracle'; mentors of this pair: mentor")(result)


async def test_a_verdict_outside_its_case_is_refused() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=2)}),
        generator=FakeModel("a b"),
        mentor=FakeModel("X Y"),
        verifiers=[Says(verdict=Verdict("mentor", upto=3))],
    )

    fails_with(Exception, r"verifier 'Says' returned Verdict\(.*expected Abstain or a Verdict")(
        result
    )


async def test_an_outage_is_an_error_and_never_the_end_of_a_text() -> None:
    result = await solve(Never(), generator=FakeModel("a b c", fails_at=0))

    assert (result.reason, result.text) == ("error", "")
    assert [call.outcome for call in result.calls] == ["failed"]
    fails_with(Exception, "call 0 of 'fake' failed as told")(result)


@pytest.mark.parametrize("unit", [TokenUnit(size=1), WordUnit(), StepUnit()])
@pytest.mark.parametrize("policy", [Never(), Always(), RandomPositions(rate=0.5)])
@pytest.mark.parametrize("stop", ["c - 5", "So d = c", "5\n\n", "d"])
async def test_no_piece_of_a_stop_string_stays_in_the_answer(
    unit: Unit, policy: Policy, stop: str
) -> None:
    text = "So b = 4.\n\nSo d = c - 5\n\nSo e = d."

    result = await solve(
        policy,
        generator=FakeModel(text),
        mentor=FakeModel(text),
        verifiers=[AlwaysMentor()],
        unit=unit,
        segment=Until(2),
        stop_strings=(stop,),
    )

    assert (result.text, result.reason) == (text.partition(stop)[0], "stop_string")


async def test_a_token_cut_by_a_segments_stop_string_is_cut_for_all() -> None:
    mentor = FakeModel("The answer is it")
    generator = FakeModel("a b c d e")

    result = await solve(
        Scripted(script={0: Consult()}),
        generator=generator,
        mentor=mentor,
        segment=Until(9, stop_strings=("swer",)),
    )

    # What was cut off is gone for its author too, whose text goes on behind what was kept.
    assert result.text == "The an c d e"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ConfigError, match="an empty stop string ends every text at once"):
        Recipe(policy=Never(), stop_strings=("",))
