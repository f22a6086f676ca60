"""The recorder: a policy that lets the generator write alone and keeps its steps' signals."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from pydantic import ConfigDict

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

Steps = dict[int, SignalledStep]
"""Steps by their units: what the recorder hands over."""

Labels = dict[int, bool]
"""Whether a unit's step is a bad one: what the labeller hands over."""


def recorded_steps(kept: Mapping[str, object]) -> list[SignalledStep]:
    """Return the steps of a result, from its `kept`, with what the labeller says of them."""
    steps = cast(Steps, kept.get("policy", {}))
    labels = cast(Labels, kept.get("verifier-0", {}))
    return [replace(step, is_bad=labels.get(unit)) for unit, step in steps.items()]


class Recorder(Policy):
    """Never ask a mentor; keep what a routing policy would have seen at every step.

    Attributes:
        needs_of: What those signals need.
        observed: The states to keep.
        is_judging: Have each step judged, see `Labeller`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    needs_of: tuple[Need, ...]
    observed: tuple[Observation, ...] = ()
    is_judging: bool

    @property
    def needs(self) -> Sequence[Need]:
        """What the signals need of the generator."""
        return self.needs_of

    @property
    def observations(self) -> Sequence[Observation]:
        """The states to keep."""
        return self.observed

    @property
    def looks_beyond(self) -> int:
        """The token after a step: it carries the state at the step's end."""
        return 1

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that keeps the problem's steps."""
        return _RecorderSession(is_judging=self.is_judging)


class _RecorderSession(PolicySession):
    def __init__(self, *, is_judging: bool) -> None:
        self._is_judging = is_judging
        self._steps: Steps = {}

    def decide(self, draft: Draft) -> Decision:
        self._steps[draft.unit] = SignalledStep(
            text=draft.text,
            entropies=tuple(token.entropy_nats for token in draft.tokens),
            logprobs=tuple(token.logprob for token in draft.tokens),
            opening=dict((draft.tokens[0].observed if draft.tokens else None) or {}),
            closing=dict((draft.beyond[0].observed if draft.beyond else None) or {}),
            is_last=draft.is_last,
        )
        return Verify() if self._is_judging else Continue()

    def kept(self) -> Steps:
        return self._steps


class Labeller(Verifier):
    """Have a verifier say of every step whether it would stand; it stands in any case.

    Attributes:
        judge: Who says it; where it abstains, nothing is known of the step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    judge: Verifier

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
        return _LabellerSession(self.judge.start(problem, rng))


class _LabellerSession(VerifierSession):
    def __init__(self, judge: VerifierSession) -> None:
        self._judge = judge
        self._labels: Labels = {}

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        answer = await self._judge.verify(case, desk)
        if not isinstance(answer, Abstain):
            self._labels[case.draft.unit] = answer.stands != GENERATOR
        return Verdict(GENERATOR, why="recorded")

    def kept(self) -> Labels:
        return self._labels
