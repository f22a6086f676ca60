"""The verifier `mentor-logprob`: the continuation that a mentor finds likelier stands."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.problems import Problem
from collab.protocols import Verifier, VerifierSession
from collab.roles import MENTOR
from collab_policies.mean_logprob import LogprobSession


class MentorLogprob(Verifier):
    """Let the higher mean log-probability per token under a mentor stand.

    The generator's text is scored in the mentor's tokens; what that mentor proposed itself is
    known. The verdict's score is the proposal's mean minus the generator's, in nats per token. A
    greedy mentor's own text is nearly always the likelier one: the margin says how much worse the
    generator's may be. Abstains on an empty text, and where the context has no room.
    """

    margin_nats: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Lead that the mentor's proposal needs, in nats per token.",
    )
    mentor: str = Field(default=MENTOR, description="The mentor that scores, if there are several.")

    @property
    def needs(self) -> Sequence[Need]:
        """Log-probabilities of the mentor's own text and of given text."""
        return (Need(self.mentor, "logprobs", 1), Need(self.mentor, "score"))

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return LogprobSession(self.mentor, self.margin_nats)
