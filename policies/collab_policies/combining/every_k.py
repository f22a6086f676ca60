"""The policy `every-k`: another policy is asked at every k-th unit only."""

import random
import sys

from pydantic import Field

from collab.decisions import Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab_policies.combining.combined import is_attentive
from collab_policies.combining.single import SinglePolicy, SingleSession


class EveryK(SinglePolicy):
    """Ask `policy` at units k, 2k, 3k and so on; the generator writes the others in one call.

    The inner policy knows of its own units only: `random` with a rate of 0.5 asks at half of every
    k-th units.
    """

    k: int = Field(ge=1, description="Distance of two units at which the policy is asked.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts units."""
        return _EverySession(self.policy.start(problem, rng), self.k)


class _EverySession(SingleSession):
    """Before a unit that the policy may look into, the units to skip are a stretch of their own."""

    def __init__(self, inner: PolicySession, k: int) -> None:
        super().__init__(inner)
        self._k = k
        self._is_between = False

    def ahead(self) -> int:
        if self._is_between:
            self._is_between = False
            return 1
        units = self._inner.ahead()
        if units == 1 and self._k > 1 and is_attentive(self._inner):
            self._is_between = True
            return self._k - 1
        return min(units * self._k, sys.maxsize)

    def glimpse(self) -> int | None:
        return None if self._is_between else self._inner.glimpse()

    @property
    def is_watching(self) -> bool:
        return self._inner.is_watching and not self._is_between

    def decide(self, draft: Draft) -> Decision:
        return Continue(why="between") if self._is_between else self._inner.decide(draft)
