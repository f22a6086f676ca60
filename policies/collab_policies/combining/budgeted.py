"""The policy `budgeted`: another policy may ask until so much was asked in a problem."""

import random
import sys
from typing import Self

from pydantic import Field, model_validator

from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab_policies.combining.single import GateSession, SinglePolicy


class Budgeted(SinglePolicy):
    """Let `policy` ask a mentor or a verifier up to a bound; then the generator writes alone.

    Unlike `budget.max_mentor_tokens`, which ends the problem, this one only ends the questions. A
    question is asked or not: the mentor's tokens may exceed their bound by one answer.
    """

    questions: int | None = Field(default=None, ge=0, description="Most questions of one problem.")
    mentor_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Ask nothing more once mentors have decoded this many tokens, kept or not.",
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.questions is None and self.mentor_tokens is None:
            raise ValueError("give questions, mentor_tokens or both")
        return self

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts questions."""
        return _BudgetedSession(self.policy.start(problem, rng), self)


class _BudgetedSession(GateSession):
    refusal = "budget spent"

    def __init__(self, inner: PolicySession, options: Budgeted) -> None:
        super().__init__(inner)
        self._options = options
        self._asked = 0
        self._is_spent = options.questions == 0 or options.mentor_tokens == 0

    def ahead(self) -> int:
        return sys.maxsize if self._is_spent else self._inner.ahead()

    def may_ask(self, draft: Draft) -> bool:
        bound = self._options.mentor_tokens
        self._is_spent |= bound is not None and draft.mentor_tokens >= bound
        return not self._is_spent

    def note_question(self) -> None:
        self._asked += 1
        self._is_spent = self._asked == self._options.questions
