"""The policy `every-draft`: every draft is verified, and a mentor goes on where it fails."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Decision, Verify
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import MENTOR


class EveryDraft(Policy):
    """Have every draft verified; a mentor writes the next tokens after the part that stands."""

    mentor: MentorName = MENTOR
    tokens: int = Field(default=1, ge=1, description="Tokens that the mentor writes instead.")

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; it has no memory."""
        return _EveryDraftSession(self)


class _EveryDraftSession(PolicySession):
    def __init__(self, policy: EveryDraft) -> None:
        self._policy = policy

    def decide(self, draft: Draft) -> Decision:
        redo = Consult(self._policy.mentor, max_tokens=self._policy.tokens, why="replaced")
        return Verify(redo, why="scored")
