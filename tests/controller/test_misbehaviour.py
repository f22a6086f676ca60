"""Plug-ins that do not keep to their contract: their problem fails and says so; nothing hangs."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import anyio
import pytest
from pydantic import BaseModel, ConfigDict
from support.plugins import Says, Scripted, ScriptedSession, fails_with, solve

from collab import (
    Abstain,
    Budget,
    Consult,
    Continue,
    Controller,
    Draft,
    Finish,
    Inject,
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
from collab.errors import (
    CapabilityError,
    ConfigError,
    ModelCallError,
    ModelLoadError,
    PluginCallError,
    PluginError,
    ProblemError,
)
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

    fails_with(ModelCallError, "'text model' raised SystemExit: enough")(result)


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

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        return self._make(case)  # type: ignore[return-value]


def swap_proposals(case: Case) -> Verdict:
    case.proposals["mentor"] = case.proposals["generator"]  # type: ignore[index]
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
        (swap_proposals, "TypeError: 'mappingproxy' object does not support item assignment"),
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


async def cancel_a_task_of_its_own() -> None:
    """What a stranger's HTTP client may do."""
    task = asyncio.ensure_future(asyncio.sleep(9))
    await asyncio.sleep(0)
    task.cancel()
    await task


class CancelsItself(Verifier):
    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return CancelsItselfSession()


class CancelsItselfSession(VerifierSession):
    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        await cancel_a_task_of_its_own()
        return Abstain()


class CancellingModel(FakeModel):
    def open(self, view: object, **options: object) -> NoReturn:
        raise asyncio.CancelledError


def cancelled(draft: Draft) -> Decision:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"verifiers": (CancelsItself(),)}, "verifier 'CancelsItself' raised at unit 0: Cancelled"),
        ({"policy": Scripted(script={0: cancelled})}, "policy 'Scripted' raised at unit 0: Cancel"),
    ],
)
async def test_a_cancellation_that_nobody_asked_for_fails_its_problem_and_the_others_go_on(
    options: dict[str, Any], told: str
) -> None:
    recipe = Recipe(**{"policy": Always(), **options})
    async with Controller(
        generator=FakeBackend(model=FakeModel("a b")),
        mentor=FakeBackend(model=FakeModel("A B")),
        recipe=recipe,
    ) as controller:
        async with controller.map(["p", "q", "r"], concurrency=1) as results:
            found = [result async for result in results]

    assert len(found) == 3
    for result in found:
        fails_with(PluginCallError, told)(result)


async def test_a_model_that_cancels_itself_fails_its_problem() -> None:
    result = await solve(Never(), generator=CancellingModel("a b"))

    fails_with(ProblemError, "the problem was cancelled")(result)


async def test_a_native_cancellation_from_outside_is_still_one() -> None:
    stuck = FakeModel("a", is_stuck=True)
    async with Controller(
        generator=FakeBackend(model=stuck), recipe=Recipe(policy=Never())
    ) as controller:
        task = asyncio.ensure_future(controller.solve("q"))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert stuck.open_sessions == 0


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


class Unreachable(Backend):
    error: BaseException

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def connect(self) -> NoReturn:
        raise self.error


@pytest.mark.parametrize("error", [OSError("no route"), SystemExit(0)])
async def test_a_backend_that_cannot_connect_is_named_by_its_seat(error: BaseException) -> None:
    controller = Controller(generator=Unreachable(error=error), recipe=Recipe(policy=Never()))

    with pytest.raises(
        ModelLoadError, match=f"the generator cannot be reached: {type(error).__name__}"
    ):
        async with controller:
            pass


async def test_a_controller_is_connected_once_at_a_time() -> None:
    controller = Controller(
        generator=FakeBackend(model=FakeModel("a")), recipe=Recipe(policy=Never())
    )
    async with controller:
        with pytest.raises(ConfigError, match="the controller is connected already"):
            async with controller:
                pass

        assert (await controller.solve("q")).text == "a"


async def test_a_policy_that_asks_mentors_is_refused_without_one() -> None:
    with pytest.raises(CapabilityError, match="Always needs a participant 'mentor'"):
        await solve(Always(), generator=FakeModel("a"))


async def test_a_mentor_of_another_name_can_be_asked() -> None:
    recipe = Recipe(policy=Always(mentor="wise"), segment=Until(1))
    async with Controller(
        generator=FakeBackend(model=FakeModel("a b")),
        mentor={"wise": FakeBackend(model=FakeModel("A B"))},
        recipe=recipe,
    ) as controller:
        assert (await controller.solve("q")).text == "A B"


class Odd(BaseModel):
    """A recipe that makes what it is told to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    makes: object = None

    def recipe(self) -> Recipe:
        if isinstance(self.makes, Exception):
            raise self.makes
        return self.makes  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("makes", "told"),
    [(None, "Odd makes None, not a Recipe"), (KeyError("a"), "Odd makes no recipe: KeyError: 'a'")],
)
async def test_a_recipe_that_makes_none_is_named(makes: object, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        Controller(generator=FakeBackend(), recipe=Odd(makes=makes))


class Strange(Policy):
    @property
    def needs(self) -> tuple[Need, ...]:
        return (5,)  # type: ignore[return-value]

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession({}, 1)


async def test_a_need_that_is_none_is_named() -> None:
    with pytest.raises(PluginError, match="Strange says that it needs 5, which is no Need"):
        await solve(Strange(), generator=FakeModel("a"))
