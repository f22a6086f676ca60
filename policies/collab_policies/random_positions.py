"""The policy `random`: a mentor is asked at random units, drawn ahead."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import MENTOR

_LOOK_AHEAD = 4096


class RandomOptions(Options):
    """How often a mentor is asked."""

    rate: float = Field(default=0.24, ge=0, le=1, description="Probability of asking at each unit.")
    mentor: MentorName = MENTOR


class RandomPositions(RandomOptions, Policy):
    """Ask a mentor at each unit with a fixed probability.

    The positions do not depend on the text, so they are drawn ahead, one draw per unit
    from the problem's own random stream, and the generator writes straight to the next one.

    References:
        MentorCollab, arXiv:2602.05307. Deviation: the probability is given as a rate in
        `[0, 1]`; the published integer D consults with probability (D - 1) / 100.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session with its own stream of draws."""
        return _RandomSession(self, rng)


class _RandomSession(PolicySession):
    def __init__(self, policy: RandomPositions, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._is_hit = False

    def ahead(self) -> int:
        for units in range(1, _LOOK_AHEAD + 1):
            if self._rng.random() < self._policy.rate:
                self._is_hit = True
                return units
        self._is_hit = False
        return _LOOK_AHEAD

    def decide(self, draft: Draft) -> Decision:
        return Consult(self._policy.mentor, why="drawn") if self._is_hit else Continue()
