"""A policy of one's own: a mentor is asked at every n-th unit, with a pause after it was wrong."""

import random

from pydantic import Field

from collab import Consult, Continue, Draft, Policy, PolicySession, Problem, Verdict


class EveryNth(Policy):
    """Ask at every n-th unit; skip the next one when the mentor's proposal did not stand."""

    n: int = Field(default=5, ge=1, description="Units between two questions.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return the memory of one problem."""
        return _EveryNthSession(self.n)


class _EveryNthSession(PolicySession):
    def __init__(self, n: int) -> None:
        self._n = n
        self._pause = 0

    def ahead(self) -> int:
        # Known without looking at the text, so the generator writes n units in one go.
        return self._n

    def decide(self, draft: Draft) -> Consult | Continue:
        if self._pause:
            self._pause -= 1
            return Continue(why="pausing")
        return Consult(why=f"every {self._n}")

    def learn(self, verdict: Verdict) -> None:
        self._pause = 1 if verdict.stands == "generator" else 0
