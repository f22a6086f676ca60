"""The verifier `always-mentor`: the mentor's proposal stands, unverified."""

import random

from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.verdicts import NOBODY, Abstain, Verdict


class AlwaysMentor(Verifier):
    """Let the mentor's whole proposal stand; without one, have the draft redone."""

    @property
    def reads_look_ahead(self) -> bool:
        """Nothing is compared."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _AlwaysMentorSession()


class _AlwaysMentorSession(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        return Verdict(case.mentor or NOBODY, why="always the mentor")
