"""The policy `always`: a mentor is asked at every unit."""

import random

from collab.decisions import Consult, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession


class Always(Policy):
    """Ask a mentor at every unit."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that always consults."""
        return _AlwaysSession()


class _AlwaysSession(PolicySession):
    def decide(self, draft: Draft) -> Decision:
        return Consult(why="always")
