"""The policy `always`: a mentor is asked at every unit."""

import random
from collections.abc import Sequence

from collab.capabilities import Need
from collab.decisions import Consult, Decision
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import MENTOR


class Always(Policy):
    """Ask a mentor at every unit."""

    mentor: MentorName = MENTOR

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that always consults."""
        return _AlwaysSession(self.mentor)


class _AlwaysSession(PolicySession):
    def __init__(self, mentor: str) -> None:
        self._mentor = mentor

    def decide(self, draft: Draft) -> Decision:
        return Consult(self._mentor, why="always")
