"""SpecReason: the mentor grades every step of the generator and redoes the bad ones."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Decision, Verify
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import MENTOR
from collab_policies.step_score import StepScore, StepScoreOptions
from collab_policies.steps import StepRecipe


class EveryStepOptions(Options):
    """Which steps are verified."""

    first_steps: int = Field(
        default=0, ge=0, description="Number of first steps that a mentor always writes."
    )
    mentor: MentorName = MENTOR


class EveryStep(EveryStepOptions, Policy):
    """Have every step of the generator verified; one that does not stand is a mentor's.

    References:
        SpecReason, arXiv:2504.07891.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts steps."""
        return _EverySession(self)


class _EverySession(PolicySession):
    def __init__(self, policy: EveryStep) -> None:
        self._policy = policy
        self._steps = 0

    def glimpse(self) -> int | None:
        return 0 if self._steps < self._policy.first_steps else None

    def decide_before(self, draft: Draft) -> Decision:
        self._steps += 1
        return Consult(self._policy.mentor, why="first steps")

    def decide(self, draft: Draft) -> Decision:
        return Verify(Consult(self._policy.mentor, why="graded low"), why="graded")


class SpecReason(EveryStepOptions, StepScoreOptions, StepRecipe):
    """The generator drafts every step, the mentor grades it, and redoes what it grades low.

    References:
        SpecReason, arXiv:2504.07891. Deviations: at most three calls per step (draft, grade, redo),
        where the published code asks a server for its models before each of them; rejected drafts
        and grades are in the ledger; `</think>` ends the thinking, where the published code
        deletes it from a step without an answer; a repeated step leads to the answer and is not
        called finished.
    """

    method = "specreason"
    policy = EveryStep
    verifiers = (StepScore,)
