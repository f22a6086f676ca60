"""The verifier `generator-logprob`: the continuation that the generator finds likelier stands."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.problems import Problem
from collab.protocols import Verifier, VerifierSession
from collab.roles import GENERATOR
from collab_policies.mean_logprob import LogprobSession


class GeneratorLogprob(Verifier):
    """Let the higher mean log-probability per token under the generator stand.

    The mentor's text is scored in the generator's tokens; the generator's own are known. The
    verdict's score is the mentor's mean minus the generator's, in nats per token. A greedy
    generator's own text is nearly always the likelier one, and a text that repeats itself is
    likely too: give a negative margin to hear the mentor more often. Abstains on an empty text,
    and where the context has no room.
    """

    margin_nats: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Lead that the mentor's proposal needs, in nats per token.",
    )

    @property
    def needs(self) -> Sequence[Need]:
        """Log-probabilities of the generator's own text and of given text."""
        return (Need(GENERATOR, "logprobs", 1), Need(GENERATOR, "score"))

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return LogprobSession(GENERATOR, self.margin_nats)
