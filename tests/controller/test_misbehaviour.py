"""Plug-ins that exit, cancel or never end: only their problem fails, and nothing hangs."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import anyio
import pytest
from support.plugins import Says, Scripted, fails_with, solve

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
from collab.decisions import Decision
from collab.errors import (
    ModelCallError,
    PluginCallError,
    ProblemError,
)
from collab.proposals import Sampling
from collab.protocols import Case, VerifierDesk
from collab.seam import Backend, Model
from collab.seam.stateless import TextModel
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always
from collab_policies.never import Never


def leave(*_: object) -> Decision:
    sys.exit("enough")


class Exits(Verifier):
    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return ExitsSession()


class ExitsSession(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
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

    assert str(result.ending) == "budget: deadline_s"


async def test_a_policy_that_always_goes_back_comes_to_an_end() -> None:
    class Back(Policy):
        @property
        def takes_back(self) -> bool:
            return True

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
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
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
