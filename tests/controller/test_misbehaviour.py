"""Plug-ins that do not keep to their contract: their problem fails and says so; nothing hangs."""

import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from support.plugins import Says, Scripted, ScriptedSession, fails_with, solve

from collab import (
    Abstain,
    Budget,
    Consult,
    Controller,
    Draft,
    Mark,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Until,
    Verdict,
    Verifier,
    VerifierSession,
)
from collab.capabilities import Need
from collab.decisions import Decision
from collab.errors import CapabilityError, ModelCallError, PluginCallError, PluginError
from collab.proposals import Sampling
from collab.protocols import Case, Handles
from collab.seam import Backend, Model
from collab.stateless import TextModel
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never


def leave(*_: object) -> Decision:
    sys.exit("enough")


class Exits(Verifier):
    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return ExitsSession()


class ExitsSession(VerifierSession):
    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        sys.exit("enough")


async def test_a_policy_that_exits_the_program_only_fails_its_problem() -> None:
    result = await solve(Scripted(script={1: leave}), generator=FakeModel("a b c"))

    assert result.text == "a"
    fails_with(PluginCallError, "policy 'Scripted' raised at unit 1: SystemExit: enough")(result)


async def test_a_verifier_that_exits_the_program_only_fails_its_problem() -> None:
    result = await solve(
        Always(), generator=FakeModel("a b"), mentor=FakeModel("A B"), verifiers=[Exits()]
    )

    fails_with(PluginCallError, "verifier 'Exits' raised at unit 0: SystemExit: enough")(result)


class Counting(TextModel):
    """Writes on for ever without waiting, or exits the program."""

    is_exiting = False

    async def write(self, text: str, max_tokens: int, sampling: Sampling) -> AsyncIterator[str]:
        if self.is_exiting:
            sys.exit("enough")
        while True:
            yield " on"


class CountingBackend(Backend):
    is_exiting: bool = False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        model = Counting()
        model.is_exiting = self.is_exiting
        yield model


async def test_a_backend_that_exits_the_program_only_fails_its_problem() -> None:
    recipe = Recipe(policy=Always(), verifiers=(Says(verdict=Verdict("mentor")),))
    async with Controller(
        generator=FakeBackend(model=FakeModel("a b")),
        mentor=CountingBackend(is_exiting=True),
        recipe=recipe,
    ) as controller:
        result = await controller.solve("q")

    fails_with(ModelCallError, "'text model' tried to exit the program")(result)


async def test_a_model_that_never_waits_still_meets_its_deadline() -> None:
    recipe = Recipe(policy=Never(), max_answer_tokens=10**9)
    async with Controller(
        generator=CountingBackend(), recipe=recipe, budget=Budget(deadline_s=0.05)
    ) as controller:
        result = await controller.solve("q")

    assert result.reason == "budget: deadline_s"


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
        (None, r"returned None from start\(\); expected a session with ahead, decide, learn"),
    ],
)
async def test_a_policy_without_a_session_is_named(session: object, message: str) -> None:
    result = await solve(Silent(session=session), generator=FakeModel("a"))

    fails_with(PluginCallError, message)(result)


class Needy(Policy):
    """Needs what it is given."""

    ability: str = "judge"

    @property
    def needs(self) -> tuple[Need, ...]:
        if not self.ability:
            raise KeyError("ability")
        return (Need("wise", self.ability),)  # type: ignore[arg-type]

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession({}, 1)


async def test_a_plugin_that_cannot_say_what_it_needs_is_named() -> None:
    with pytest.raises(PluginError, match="Needy cannot say what it needs: KeyError: 'ability'"):
        await solve(Needy(ability=""), generator=FakeModel("a"))


class NeedyVerifier(Verifier):
    role: str

    @property
    def needs(self) -> tuple[Need, ...]:
        return (Need(self.role, "judge"),)

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        raise AssertionError("never gets there")


async def test_the_needs_of_two_plugins_of_one_class_are_all_matched() -> None:
    verifiers = [NeedyVerifier(role="old"), NeedyVerifier(role="generator")]

    with pytest.raises(CapabilityError, match="NeedyVerifier needs a participant 'old'"):
        await solve(Never(), generator=FakeModel("a"), verifiers=verifiers)


async def test_a_policy_that_always_goes_back_comes_to_an_end() -> None:
    class Back(Policy):
        def start(self, problem: Problem, rng: random.Random) -> PolicySession:
            return BackSession()

    class BackSession(PolicySession):
        def decide(self, draft: Draft) -> Decision:
            return Consult(back_to=Mark(0))

    result = await solve(
        Back(),
        generator=FakeModel("a b c"),
        mentor=FakeModel("A B C"),
        segment=Until(1),
        max_answer_tokens=8,
    )

    assert (result.reason, result.error) == ("turns", None)
    assert result.text == "A"


async def test_a_verdict_for_no_token_at_all_is_refused() -> None:
    result = await solve(
        Always(),
        generator=FakeModel("a b"),
        mentor=FakeModel("A B"),
        verifiers=[Says(verdict=Verdict("mentor", upto=0))],
    )

    fails_with(PluginCallError, "expected Abstain or a Verdict for one of")(result)


async def test_a_consultation_asks_for_at_least_one_token() -> None:
    result = await solve(
        Scripted(script={0: lambda _: Consult(max_tokens=0)}),
        generator=FakeModel("a"),
        mentor=FakeModel("A"),
    )

    fails_with(PluginCallError, "max_tokens is 0; a proposal has at least 1 token")(result)


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
    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        async with anyio.create_task_group() as group:
            group.start_soon(models.judge, "generator", "one two three?", ("A", "B"))
            group.start_soon(models.judge, "generator", "and four?", ("A", "B"))
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
