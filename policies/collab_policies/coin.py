"""The verifier `coin`: chance decides which continuation stands."""

import random

from pydantic import Field

from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import NOBODY, Abstain, Verdict


class Coin(Verifier):
    """Let the mentor's proposal stand with a fixed probability, whatever it says.

    The baseline that a judge has to beat. One draw per question, from the problem's own random
    stream. Without a proposal, the same draw says whether a mentor redoes the draft.
    """

    probability: float = Field(
        default=0.5, ge=0, le=1, description="Probability that the mentor's proposal stands."
    )

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session with its own stream of draws."""
        return _CoinSession(self.probability, rng)


class _CoinSession(VerifierSession):
    def __init__(self, probability: float, rng: random.Random) -> None:
        self._probability = probability
        self._rng = rng

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        is_mentors = self._rng.random() < self._probability
        return Verdict((case.mentor or NOBODY) if is_mentors else GENERATOR, why="drawn")
