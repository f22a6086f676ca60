"""The policy `cooldown`: after a question, another policy may not ask for a while."""

import random

from pydantic import Field

from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab_policies.combining.single import GateSession, SinglePolicy


class Cooldown(SinglePolicy):
    """Let `policy` ask no mentor and no verifier for `units` units after a question.

    It sees these units, and does not learn that its questions were dropped. Text that it injects
    and its wish to finish pass.
    """

    units: int = Field(ge=1, description="Number of units without a question.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts units."""
        return _CooldownSession(self.policy.start(problem, rng), self.units)


class _CooldownSession(GateSession):
    refusal = "cooling down"

    def __init__(self, inner: PolicySession, units: int) -> None:
        super().__init__(inner)
        self._units = units
        self._unit = 0
        self._free_from = 0

    def ahead(self) -> int:
        ahead = self._inner.ahead()
        self._unit += ahead
        return ahead

    def may_ask(self, draft: Draft) -> bool:
        return self._unit >= self._free_from

    def note_question(self) -> None:
        self._free_from = self._unit + self._units + 1
