"""Plug-ins that say what a test tells them to, and one problem solved with fake models."""

import random
from collections.abc import Callable, Sequence

import pytest

from collab import (
    Abstain,
    Budget,
    Continue,
    Controller,
    Draft,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Result,
    Verdict,
    Verifier,
    VerifierSession,
)
from collab.decisions import Decision
from collab.protocols import Case, VerifierDesk
from collab.testing import FakeBackend, FakeModel


class Scripted(Policy):
    """Answers by the draft's unit; continues where nothing is said."""

    script: dict[int, object] = {}
    stride: int = 1

    @property
    def takes_back(self) -> bool:
        return True

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession(self.script, self.stride)


class ScriptedSession(PolicySession):
    def __init__(self, script: dict[int, object], stride: int) -> None:
        self._script = script
        self._stride = stride

    def ahead(self) -> int:
        return self._stride

    def decide(self, draft: Draft) -> Decision:
        answer = self._script.get(draft.unit, Continue())
        return answer(draft) if callable(answer) else answer  # type: ignore[return-value]


class Says(Verifier):
    """Gives a fixed answer."""

    verdict: object

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return SaysSession(self.verdict)


class SaysSession(VerifierSession):
    def __init__(self, verdict: object) -> None:
        self._verdict = verdict

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        return self._verdict  # type: ignore[return-value]


async def solve(
    policy: Policy,
    *,
    generator: FakeModel,
    mentor: FakeModel | None = None,
    verifiers: Sequence[Verifier] = (),
    budget: Budget | None = None,
    **options: object,
) -> Result:
    recipe = Recipe(policy=policy, verifiers=tuple(verifiers), **options)  # type: ignore[arg-type]
    async with Controller(
        generator=FakeBackend(model=generator),
        mentor=FakeBackend(model=mentor) if mentor else None,
        recipe=recipe,
        budget=budget or Budget(),
    ) as controller:
        return await controller.solve(Problem(id="p", prompt="q"))


def spans(result: Result) -> list[tuple[str, str]]:
    return [(span.author, span.text) for span in result.spans]


def fails_with(kind: type[Exception], match: str) -> Callable[[Result], None]:
    def check(result: Result) -> None:
        with pytest.raises(kind, match=match):
            result.raise_for_error()

    return check


class KeepsDraft(Verifier):
    """The draft stands, and no more than it."""

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return _KeepsDraft()


class _KeepsDraft(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict:
        return Verdict("generator", upto=len(case.draft.tokens))
