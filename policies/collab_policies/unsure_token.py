"""The policy `unsure-token`: a mentor is asked at the first token of which a model is unsure."""

import random
from collections.abc import Sequence

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName
from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab_policies.sureness import SurenessOptions, sureness


class UnsureOptions(SurenessOptions):
    """Where a mentor is asked, and which one."""

    mentor: MentorName = MENTOR


class UnsureToken(UnsureOptions, Policy):
    """Ask a mentor where the generator's likeliest next token is less likely than a threshold.

    The generator is stopped at that token, which is not kept.

    References:
        Nudging, arXiv:2410.09300: thresholds of 0.3 to 0.4 on the top-1 probability.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's likeliest token at each position, and the mentor."""
        return (Need(GENERATOR, "top_logprobs", 1), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; it has no memory."""
        return _UnsureSession(self)


class _UnsureSession(PolicySession):
    def __init__(self, policy: UnsureToken) -> None:
        self._policy = policy

    def watch(self, tokens: Sequence[Token]) -> bool:
        return sureness(tokens[-1]) < self._policy.threshold

    def decide(self, draft: Draft) -> Decision:
        found = sureness(draft.tokens[-1]) if draft.tokens else 1.0
        if found >= self._policy.threshold:
            return Continue(signal=found)
        keep = len(draft.tokens) - 1
        return Consult(self._policy.mentor, keep=keep, why="unsure", signal=found)
