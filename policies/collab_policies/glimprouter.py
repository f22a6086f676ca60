"""GlimpRouter: one look at a step's first token says who writes the step."""

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab_policies.entropy import TopK
from collab_policies.entropy_calibrating import EntropyCalibrator
from collab_policies.steps import StepRecipe


class FirstTokenOptions(Options):
    """Which first tokens are unsure."""

    threshold_nats: float = Field(
        default=1.0, ge=0, description="The mentor writes at this entropy or above."
    )
    top_k: TopK = 20
    first_steps: int = Field(
        default=0, ge=0, description="Number of first steps that a mentor always writes."
    )
    mentor: MentorName = MENTOR


class FirstTokenEntropy(FirstTokenOptions, Policy):
    """Have a mentor write the steps whose first token the generator is unsure of.

    The entropy is taken over the `top_k` likeliest tokens, renormalised, in nats. The token is kept
    where the generator goes on.

    References:
        GlimpRouter, arXiv:2601.05110. Its code keys the top 20 by text, so equal texts fall
        together; here they are told apart by id.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """Top-k log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "entropy", self.top_k), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts steps."""
        return _GlimpseSession(self)


class _GlimpseSession(PolicySession):
    def __init__(self, policy: FirstTokenEntropy) -> None:
        self._policy = policy
        self._steps = 0
        self._entropy: float | None = None

    def glimpse(self) -> int:
        return 0 if self._steps < self._policy.first_steps else 1

    def decide_before(self, draft: Draft) -> Decision:
        self._steps += 1
        if self._steps <= self._policy.first_steps:
            return Consult(self._policy.mentor, why="first steps")
        self._entropy = draft.tokens[0].entropy_nats
        if self._entropy is not None and self._entropy >= self._policy.threshold_nats:
            return Consult(self._policy.mentor, why="unsure", signal=self._entropy)
        return Continue(signal=self._entropy)

    def decide(self, draft: Draft) -> Decision:
        return Continue(why="sure", signal=self._entropy)


class GlimpRouter(FirstTokenOptions, StepRecipe):
    """The generator writes a step unless its first token makes it unsure; the mentor answers.

    References:
        GlimpRouter, arXiv:2601.05110. Deviations: the token looked at is kept, where the published
        code throws it away and draws it again, so a step of the generator is one call and a step
        of the mentor two; a threshold of 0 can be expressed, where the published code takes it for
        1.0; an entropy that a server does not give leaves the step to the generator.
    """

    calibrator: ClassVar[type[EntropyCalibrator]] = EntropyCalibrator
    method = "glimprouter"
    policy = FirstTokenEntropy
