"""The verifier `always-generator`: the generator's continuation stands, unverified."""

import random

from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict


class AlwaysGenerator(Verifier):
    """Let the generator's whole look-ahead stand, or the draft where nothing was offered.

    A baseline for other verifiers: the mentor is paid and never heard. The look-ahead is written,
    so that the questions come at the same places as with a verifier that reads it.
    """

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _AlwaysGeneratorSession()


class _AlwaysGeneratorSession(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        return Verdict(GENERATOR, why="always the generator")
