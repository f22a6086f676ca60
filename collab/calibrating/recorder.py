"""The recorder: a policy that lets the generator write alone and keeps its steps' signals."""

import random
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ConfigDict, PrivateAttr

from collab.calibrating.steps import SignalledStep
from collab.capabilities import Need
from collab.decisions import Continue, Decision, Verify
from collab.problems import Problem
from collab.protocols import (
    Case,
    Draft,
    Policy,
    PolicySession,
    Verifier,
    VerifierDesk,
    VerifierSession,
)
from collab.roles import GENERATOR
from collab.signals import Observation
from collab.verdicts import Abstain, Verdict


class Recorder(Policy):
    """Never ask a mentor; keep what a routing policy would have seen at every step.

    Attributes:
        needs_of: What those signals need.
        is_judging: Have each step judged, see `Labeller`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    needs_of: tuple[Need, ...]
    is_judging: bool
    _observed: tuple[Observation, ...] = PrivateAttr(default=())
    _kept: dict[str, list[SignalledStep]] = PrivateAttr(default_factory=dict)

    @property
    def needs(self) -> Sequence[Need]:
        """What the signals need of the generator."""
        return self.needs_of

    @property
    def observations(self) -> Sequence[Observation]:
        """The states to keep."""
        return self._observed

    @property
    def looks_beyond(self) -> int:
        """The token after a step: it carries the state at the step's end."""
        return 1

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that keeps the problem's steps until they are taken."""
        kept = self._kept[problem.id] = []
        return _RecorderSession(self, kept)

    def observe(self, observations: Sequence[Observation]) -> None:
        """Keep these states from now on: which, is known once the model is connected."""
        self._observed = tuple(observations)

    def label(self, problem: str, *, is_bad: bool | None) -> None:
        """Say what the latest step of a problem is worth."""
        kept = self._kept[problem]
        kept[-1] = replace(kept[-1], is_bad=is_bad)

    def take(self, problem: str) -> list[SignalledStep]:
        """Return a problem's steps, once; none if it was never begun."""
        return self._kept.pop(problem, [])


class _RecorderSession(PolicySession):
    def __init__(self, recorder: Recorder, kept: list[SignalledStep]) -> None:
        self._recorder = recorder
        self._kept = kept

    def decide(self, draft: Draft) -> Decision:
        self._kept.append(
            SignalledStep(
                text=draft.text,
                entropies=tuple(token.entropy_nats for token in draft.tokens),
                logprobs=tuple(token.logprob for token in draft.tokens),
                opening=dict((draft.tokens[0].observed if draft.tokens else None) or {}),
                closing=dict((draft.beyond[0].observed if draft.beyond else None) or {}),
                is_last=draft.is_last,
            )
        )
        return Verify() if self._recorder.is_judging else Continue()


class Labeller(Verifier):
    """Have a verifier say of every step whether it would stand; it stands in any case.

    Attributes:
        judge: Who says it; where it abstains, nothing is known of the step.
        recorder: Keeps what it says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    judge: Verifier
    recorder: Recorder

    @property
    def needs(self) -> Sequence[Need]:
        """What judging needs."""
        return self.judge.needs

    @property
    def reads_look_ahead(self) -> bool:
        """Nothing is compared."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session around the judge's."""
        return _LabellerSession(self.judge.start(problem, rng), self.recorder, problem.id)


class _LabellerSession(VerifierSession):
    def __init__(self, judge: VerifierSession, recorder: Recorder, problem: str) -> None:
        self._judge = judge
        self._recorder = recorder
        self._problem = problem

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        answer = await self._judge.verify(case, desk)
        is_bad = None if isinstance(answer, Abstain) else answer.stands != GENERATOR
        self._recorder.label(self._problem, is_bad=is_bad)
        return Verdict(GENERATOR, why="recorded")
