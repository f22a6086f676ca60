"""The policy `random`: a mentor is asked at random units, drawn ahead."""

import random

from pydantic import Field

from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession

_LOOK_AHEAD = 4096


class RandomPositions(Policy):
    """Ask a mentor at each unit with a fixed probability.

    The positions do not depend on the text, so they are drawn ahead, one draw per unit
    from the problem's own random stream, and the generator writes straight to the next one.

    References:
        MentorCollab, arXiv:2602.05307. Deviation: the probability is given as a rate in
        `[0, 1]`; the published integer D consults with probability (D - 1) / 100.
    """

    rate: float = Field(default=0.24, ge=0, le=1, description="Probability of asking, per unit.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session with its own stream of draws."""
        return _RandomSession(self.rate, rng)


class _RandomSession(PolicySession):
    def __init__(self, rate: float, rng: random.Random) -> None:
        self._rate = rate
        self._rng = rng
        self._is_hit = False

    def ahead(self) -> int:
        for units in range(1, _LOOK_AHEAD + 1):
            if self._rng.random() < self._rate:
                self._is_hit = True
                return units
        self._is_hit = False
        return _LOOK_AHEAD

    def decide(self, draft: Draft) -> Decision:
        return Consult(why="drawn") if self._is_hit else Continue()
