"""Deciding who writes a unit before it is written; looking beyond it; steering."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.plugins import fails_with, solve, spans

from collab import Consult, Continue, Draft, Policy, PolicySession, Problem, StepUnit
from collab.decisions import Decision, Finish
from collab.errors import ModelCallError, PluginCallError
from collab.proposals import Until
from collab.protocols import Steerer, SteererSession
from collab.signals import Gate, Observation, Steering
from collab.testing import ALL_CAPABILITIES, FakeModel
from collab.trace import Decided
from collab_policies.never import Never

SEEING = replace(ALL_CAPABILITIES, has_hidden_states=True, hidden_size=1, can_steer=True)
STEPS = "So a one.\n\nSo b two.\n\nSo c three."
STEPWISE: dict[str, Any] = {"unit": StepUnit(), "segment": Until(64, StepUnit())}


class Peeking(Policy):
    """Is asked about the first tokens of every unit."""

    tokens: int | None = 1
    wish: Callable[[Draft], object]
    beyond: int = 0

    @property
    def observations(self) -> Sequence[Observation]:
        return (Observation("state", 1, Gate(("\n\n",))),)

    @property
    def looks_beyond(self) -> int:
        return self.beyond

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return PeekingSession(self)


class PeekingSession(PolicySession):
    def __init__(self, policy: Peeking) -> None:
        self._policy = policy

    def glimpse(self) -> int | None:
        return self._policy.tokens

    def decide_before(self, draft: Draft) -> Decision:
        return self._policy.wish(draft)  # type: ignore[return-value]

    def decide(self, draft: Draft) -> Decision:
        self._policy.wish(draft)
        return Continue("behind")


async def test_a_unit_that_the_generator_writes_on_costs_one_call_and_keeps_its_first_token() -> (
    None
):
    seen: list[tuple[bool, str]] = []

    def note(draft: Draft) -> Continue:
        seen.append((draft.is_partial, draft.text))
        return Continue()

    generator = FakeModel(STEPS)
    result = await solve(Peeking(wish=note), generator=generator, **STEPWISE)

    assert seen == [
        (True, "So"),
        (False, "So a one.\n\n"),
        (True, "So"),
        (False, "So b two.\n\n"),
        (True, "So"),
        (False, "So c three."),
    ]
    assert [call.purpose for call in result.calls] == ["draft"] * 3
    assert result.text == STEPS
    assert generator.decoded == len(seen) // 2 * 5 + 1 - 1  # nothing twice; the end once


async def test_a_mentor_that_writes_a_unit_costs_one_call_more() -> None:
    mentor = FakeModel("X y z.\n\nSo B zwei.\n\nand so on")

    def wish(draft: Draft) -> Consult | Continue:
        return Consult(why="unsure", signal=2.0) if draft.unit == 1 else Continue()

    result = await solve(Peeking(wish=wish), generator=FakeModel(STEPS), mentor=mentor, **STEPWISE)

    assert spans(result)[1] == ("mentor", "So B zwei.\n\n")
    assert [(c.role, c.purpose) for c in result.calls][1:3] == [
        ("generator", "draft"),
        ("mentor", "consult"),
    ]
    assert result.calls[1].completion_tokens == 1
    asked = [e for e in result.events if isinstance(e, Decided)]
    assert [(e.unit, e.draft, e.decision.why) for e in asked][1] == (1, "So", "unsure")


async def test_a_policy_that_wants_no_token_is_asked_before_the_generator_is_called() -> None:
    result = await solve(
        Peeking(tokens=0, wish=lambda draft: Consult()),
        generator=FakeModel(STEPS),
        mentor=FakeModel("So m.\n\nSo n."),
        **STEPWISE,
    )

    assert spans(result) == [("mentor", "So m.\n\n"), ("mentor", "So n.")]
    assert {call.role for call in result.calls} == {"mentor"}


async def test_a_unit_shorter_than_the_glimpse_is_asked_about_as_it_is() -> None:
    seen: list[str] = []

    def note(draft: Draft) -> Continue:
        seen.append(draft.text)
        return Continue()

    await solve(Peeking(tokens=50, wish=note), generator=FakeModel("a.\n\nb."), **STEPWISE)

    assert seen == ["a.\n\n"] * 2 + ["b."] * 2


async def test_an_empty_segment_of_a_mentor_has_the_generator_write_the_whole_unit() -> None:
    result = await solve(
        Peeking(wish=lambda draft: Consult() if draft.is_partial else Continue()),
        generator=FakeModel("a b.\n\nc d."),
        mentor=FakeModel("||||||||||||"),
        unit=StepUnit(),
        segment=Until(64, stop_strings=("|",)),
    )

    assert spans(result) == [("generator", "a b.\n\n"), ("generator", "c d.")]


@pytest.mark.parametrize(
    ("wish", "match"),
    [
        (lambda draft: Finish(), r"returned Finish\(.*from decide_before\(\) at unit 0"),
        (lambda draft: 1 / 0, "raised at unit 0: ZeroDivisionError"),
    ],
)
async def test_a_wrong_wish_is_the_policys_mistake(
    wish: Callable[[Draft], object], match: str
) -> None:
    result = await solve(Peeking(wish=wish), generator=FakeModel(STEPS), **STEPWISE)

    fails_with(PluginCallError, match)(result)


async def test_a_wrong_number_of_tokens_is_the_policys_mistake() -> None:
    result = await solve(
        Peeking(tokens=-1, wish=lambda draft: Continue()), generator=FakeModel(STEPS), **STEPWISE
    )

    fails_with(PluginCallError, r"returned -1 from glimpse\(\) at unit 0")(result)


# --- states and steering ----------------------------------------------------------------------


async def test_tokens_beyond_a_unit_carry_the_state_at_its_end_and_are_not_decoded_again() -> None:
    seen: list[tuple[str, Sequence[float] | None]] = []

    def note(draft: Draft) -> Continue:
        if not draft.is_partial:
            first = draft.beyond[0] if draft.beyond else None
            state = first.observed["state"] if first and first.observed else None
            seen.append((first.text if first else "", state))
        return Continue()

    generator = FakeModel(STEPS, states={"\n\n": [7.0]}, capabilities=SEEING)
    result = await solve(Peeking(wish=note, beyond=1), generator=generator, **STEPWISE)

    assert seen == [("So", [7.0]), ("So", [7.0]), ("", None)]
    assert result.text == STEPS
    assert generator.decoded == 15  # every token of the text and its end, once
    # Nobody writes beside it: it is the generator's own time, not hidden by a mentor's.
    assert {call.purpose for call in result.calls} == {"draft"}


async def test_without_hidden_states_nothing_is_written_beyond() -> None:
    generator = FakeModel(STEPS)
    policy = Peeking(wish=lambda draft: Continue(str(len(draft.beyond))), beyond=1)

    result = await solve(policy, generator=generator, **STEPWISE)

    assert [call.purpose for call in result.calls] == ["draft"] * 3


class SteersLater(Steerer):
    """Steers from the second step on."""

    def start(self, problem: Problem, rng: random.Random) -> SteererSession:
        return _SteersLater()


class _SteersLater(SteererSession):
    def steering(self, answer: str) -> Steering | None:
        return Steering(0, (1.0,)) if "one" in answer else None


async def test_a_steerer_is_asked_before_each_draft_and_told_on_when_it_changes_its_mind() -> None:
    generator = FakeModel(STEPS, capabilities=SEEING)
    policy = Peeking(tokens=None, wish=lambda draft: Continue())

    result = await solve(policy, generator=generator, steering=SteersLater(), **STEPWISE)

    assert generator.steered == [Steering(0, (1.0,))]
    assert result.text == STEPS


class SteersByStep(Steerer):
    """Steers by the number of steps so far; asked again after so many."""

    ahead: int = 1

    def start(self, problem: Problem, rng: random.Random) -> SteererSession:
        return _SteersByStep(self.ahead)


class _SteersByStep(SteererSession):
    def __init__(self, ahead: int) -> None:
        self._ahead = ahead

    def ahead(self) -> int:
        return self._ahead

    def steering(self, answer: str) -> Steering | None:
        return Steering(0, (1.0,), scale=float(answer.count("\n\n")))


@pytest.mark.parametrize(("ahead", "scales"), [(1, [0, 1, 2]), (2, [0, 2]), (9, [0])])
async def test_a_steerer_is_asked_as_often_as_it_says_where_the_policy_never_is(
    ahead: int, scales: list[int]
) -> None:
    generator = FakeModel(STEPS, capabilities=SEEING)

    result = await solve(
        Never(), generator=generator, steering=SteersByStep(ahead=ahead), **STEPWISE
    )

    assert [one.scale for one in generator.steered if one] == scales
    assert result.text == STEPS


async def test_a_steerer_that_is_never_to_be_asked_is_an_error() -> None:
    generator = FakeModel(STEPS, capabilities=SEEING)

    result = await solve(Never(), generator=generator, steering=SteersByStep(ahead=0), **STEPWISE)

    fails_with(PluginCallError, r"returned 0 from ahead\(\); expected a number of units")(result)


async def test_a_generator_that_cannot_be_steered_is_an_error_of_the_problem() -> None:
    policy = Peeking(tokens=None, wish=lambda draft: Continue())
    result = await solve(policy, generator=FakeModel(STEPS), steering=SteersLater(), **STEPWISE)

    fails_with(ModelCallError, "cannot be steered")(result)
