"""Plug-ins that return what is not in their contract: their problem fails and says so."""

import random
from collections.abc import Callable

import anyio
import pytest
from support.plugins import Scripted, fails_with, solve

from collab import (
    Abstain,
    Consult,
    Continue,
    Finish,
    Inject,
    Mark,
    Policy,
    PolicySession,
    Problem,
    Until,
    Verdict,
    Verifier,
    VerifierSession,
)
from collab.errors import (
    PluginCallError,
)
from collab.protocols import Case, VerifierDesk
from collab.testing import FakeModel
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor


class Silent(Policy):
    """Starts with what it is given instead of a session."""

    session: object = None

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        if isinstance(self.session, Exception):
            raise self.session
        return self.session  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (KeyError("oops"), r"policy 'Silent' raised in start\(\): KeyError: 'oops'"),
        (
            None,
            r"returned None from start\(\); expected a session with ahead, glimpse, decide_before, "
            "decide, learn",
        ),
    ],
)
async def test_a_policy_without_a_session_is_named(session: object, message: str) -> None:
    result = await solve(Silent(session=session), generator=FakeModel("a"))

    fails_with(PluginCallError, message)(result)


def bad_decisions() -> list[pytest.ParameterSet]:
    """What a policy may return by mistake, and what it is told."""
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: Continue(signal="high"), "Continue: signal: Input should be a valid number"),  # type: ignore[arg-type]
        (lambda: Continue(signal=10**400), "signal"),
        (lambda: Continue(why=ValueError("x")), "why: Input should be a valid string"),  # type: ignore[arg-type]
        (lambda: Finish(why=object()), "why: Input should be a valid string"),  # type: ignore[arg-type]
        (lambda: Inject(text=None), "text: Input should be a valid string"),  # type: ignore[arg-type]
        (lambda: Inject("\ud800 hi"), "text: .*valid string|half a character"),
        (lambda: Inject("a", visible_to=5), "visible_to"),  # type: ignore[arg-type]
        (lambda: Inject("a", visible_to=frozenset({1, "generator"})), "visible_to"),  # type: ignore[arg-type]
        (lambda: Consult(mentor=["mentor"]), "mentor: Input should be a valid string"),  # type: ignore[arg-type]
        (lambda: Consult(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
        (lambda: Consult(back_to=0), "back_to"),  # type: ignore[arg-type]
        (lambda: Consult(back_to=Mark(spans="x")), "spans: Input should be a valid integer"),  # type: ignore[arg-type]
        (lambda: Consult(back_to=Mark(99)), "asked to go back to span 99; the trace has 1"),
    ]
    return [pytest.param(make, told, id=str(n)) for n, (make, told) in enumerate(cases)]


@pytest.mark.parametrize(("make", "told"), bad_decisions())
async def test_a_decision_with_a_wrong_value_fails_its_problem_and_says_so(
    make: Callable[[], object], told: str
) -> None:
    result = await solve(
        Scripted(script={1: lambda _: make()}), generator=FakeModel("a b"), mentor=FakeModel("A B")
    )

    assert result.text == "a"
    fails_with(PluginCallError, told)(result)


class SaysMade(Verifier):
    """Gives an answer that is made only when it is asked."""

    make: Callable[[Case], object]

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return SaysMadeSession(self.make)


class SaysMadeSession(VerifierSession):
    def __init__(self, make: Callable[[Case], object]) -> None:
        self._make = make

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        return self._make(case)  # type: ignore[return-value]


def swap_proposals(case: Case) -> Verdict:
    case.proposals[1] = case.own  # type: ignore[index]
    return Verdict("mentor")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda _: Verdict("mentor", upto=0), "upto: Input should be greater than or equal to 1"),
        (lambda _: Verdict("mentor", upto="x"), "upto: Input should be a valid integer"),  # type: ignore[arg-type]
        (lambda _: Verdict("mentor", upto=1.5), "upto: Input should be a valid integer"),  # type: ignore[arg-type]
        (lambda _: Verdict("mentor", score="x"), "score: Input should be a valid number"),  # type: ignore[arg-type]
        (lambda _: Verdict("mentor", why=object()), "why: Input should be a valid string"),  # type: ignore[arg-type]
        (lambda _: Verdict(stands=["mentor"]), "stands: Input should be a valid string"),  # type: ignore[arg-type]
        (swap_proposals, "TypeError: 'tuple' object does not support item assignment"),
    ],
)
async def test_a_verdict_with_a_wrong_value_fails_its_problem_and_says_so(
    make: Callable[[Case], object], told: str
) -> None:
    result = await solve(
        Always(),
        generator=FakeModel("a b"),
        mentor=FakeModel("A B"),
        verifiers=[SaysMade(make=make)],
    )

    fails_with(PluginCallError, f"verifier 'SaysMade' raised at unit 0: .*{told}")(result)


async def test_a_segments_own_stop_string_ends_only_the_segment() -> None:
    result = await solve(
        Scripted(script={0: Consult()}),
        generator=FakeModel("a b c d e f"),
        mentor=FakeModel("A B. D E F"),
        verifiers=[AlwaysMentor()],
        segment=Until(16, stop_strings=(".",)),
    )

    assert (result.text, result.reason) == ("A B c d e f", "eos")


async def test_an_empty_proposal_that_ends_nothing_leaves_the_draft() -> None:
    result = await solve(
        Always(),
        generator=FakeModel("a b"),
        mentor=FakeModel("...."),
        verifiers=[AlwaysMentor()],
        segment=Until(16, stop_strings=(".",)),
        max_answer_tokens=8,
    )

    assert (result.text, result.reason) == ("a b", "eos")


class AsksAtOnce(Verifier):
    """Asks one participant two things at the same time."""

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return AsksAtOnceSession()


class AsksAtOnceSession(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        async with anyio.create_task_group() as group:
            group.start_soon(desk.judge, "generator", "one two three?", ("A", "B"))
            group.start_soon(desk.judge, "generator", "and four?", ("A", "B"))
        return Verdict("generator")


async def test_questions_asked_at_the_same_time_are_recorded_one_by_one() -> None:
    generator = FakeModel("a", labels={"A": 1.0})

    result = await solve(
        Scripted(script={0: Consult(max_tokens=1)}),
        generator=generator,
        mentor=FakeModel("A"),
        verifiers=[AsksAtOnce()],
    )

    result.raise_for_error()
    judged = [call.completion_tokens for call in result.calls if call.purpose == "judge"]
    assert judged == [1, 1]
    assert result.usage["generator"].completion_tokens == generator.decoded
