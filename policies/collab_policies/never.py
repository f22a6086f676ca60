"""The policy `never`: the generator alone."""

import random
import sys

from collab.decisions import Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession


class Never(Policy):
    """Never ask a mentor."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that asks to be left alone."""
        return _NeverSession()


class _NeverSession(PolicySession):
    def ahead(self) -> int:
        return sys.maxsize

    def decide(self, draft: Draft) -> Decision:
        return Continue()
