"""The policy `entropy`: a mentor is asked where the generator is unsure."""

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR

Reduction = Literal["first", "mean", "max"]
TopK = Annotated[
    int, Field(ge=2, description="Number of likeliest tokens the entropy is taken over.")
]


class Entropy(Policy):
    """Ask a mentor where the top-k entropy of a unit's tokens reaches a threshold.

    The entropy of each token is taken over the k most likely tokens, renormalised, in nats. It
    is known only once the unit is written, so the draft is what gets replaced.

    References:
        GlimpRouter, arXiv:2601.05110, thresholds the entropy of a step's first token over the
        top 20 at 1.0; with `reduction="first"` and a step as the unit the same places are
        chosen, but after the step instead of before it.
    """

    threshold_nats: float = Field(
        default=1.0, ge=0, description="Ask if the entropy is at least this."
    )
    top_k: TopK = 20
    reduction: Reduction = Field(
        default="max", description="How the entropies of a unit's tokens are reduced."
    )
    mentor: MentorName = MENTOR

    @property
    def needs(self) -> Sequence[Need]:
        """Top-k log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "entropy", self.top_k), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; it has no memory."""
        return _EntropySession(self)


class _EntropySession(PolicySession):
    def __init__(self, policy: Entropy) -> None:
        self._policy = policy

    def decide(self, draft: Draft) -> Decision:
        entropies = [t.entropy_nats for t in draft.tokens if t.entropy_nats is not None]
        if not entropies:
            return Continue(why="no tokens")
        entropy = _reduce(entropies, self._policy.reduction)
        if entropy >= self._policy.threshold_nats:
            return Consult(self._policy.mentor, why="unsure", signal=entropy)
        return Continue(why="sure", signal=entropy)


def _reduce(entropies: Sequence[float], reduction: Reduction) -> float:
    match reduction:
        case "first":
            return entropies[0]
        case "mean":
            return fmean(entropies)
        case "max":
            return max(entropies)
