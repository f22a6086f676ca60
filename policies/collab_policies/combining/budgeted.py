"""The policy `budgeted`: another policy may ask so many times in a problem."""

import random
import sys

from pydantic import Field

from collab.problems import Problem
from collab.protocols import PolicySession
from collab_policies.combining.single import GateSession, SinglePolicy


class Budgeted(SinglePolicy):
    """Let `policy` ask a mentor or a verifier `questions` times; then the generator writes alone.

    Unlike `budget.max_mentor_tokens`, which ends the problem, this one only ends the questions.
    """

    questions: int = Field(ge=0, description="Most questions of one problem.")

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts questions."""
        return _BudgetedSession(self.policy.start(problem, rng), self.questions)


class _BudgetedSession(GateSession):
    refusal = "no question left"

    def __init__(self, inner: PolicySession, questions: int) -> None:
        super().__init__(inner)
        self._left = questions

    def ahead(self) -> int:
        return self._inner.ahead() if self._left else sys.maxsize

    def may_ask(self) -> bool:
        return self._left > 0

    def note_question(self) -> None:
        self._left -= 1
