"""Random steps: the control that every router has to beat at the same mentor share."""

import random
from collections.abc import Sequence

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab_policies.random_positions import RandomOptions
from collab_policies.steps import StepRecipe


class RandomSteps(RandomOptions, Policy):
    """Have a mentor write a step with a fixed probability, one draw per step.

    Decided before the step, so no draft is wasted; `random` decides after it.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session with its own stream of draws."""
        return _RandomSession(self, rng)


class _RandomSession(PolicySession):
    def __init__(self, policy: RandomSteps, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng

    def glimpse(self) -> int:
        return 0

    def decide_before(self, draft: Draft) -> Decision:
        is_hit = self._rng.random() < self._policy.rate
        return Consult(self._policy.mentor, why="drawn") if is_hit else Continue()

    def decide(self, draft: Draft) -> Decision:
        return Continue()


class RandomStepsRecipe(RandomOptions, StepRecipe):
    """The mentor writes steps at random: what a router's gain has to be measured against."""

    method = "random-steps"
    policy = RandomSteps
