"""Entropy-adaptive decoding: the author switches with the generator's mean entropy."""

import random
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Self

from pydantic import Field, model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import LongestAnswer, MentorName, Options
from collab.problems import Problem
from collab.proposals import Until
from collab.protocols import Draft, Policy, PolicySession
from collab.recipes import MethodRecipe, Recipe
from collab.roles import GENERATOR, MENTOR
from collab.units import TokenUnit
from collab_policies.entropy import TopK


class BandOptions(Options):
    """Between which mean entropies a mentor writes."""

    window: int = Field(default=8, ge=1, description="Number of tokens in the mean.")
    high_nats: float = Field(
        default=1.0, ge=0, description="A mentor takes over at this mean entropy or above."
    )
    low_nats: float = Field(
        default=0.5, ge=0, description="The generator takes over below this mean entropy."
    )
    top_k: TopK = 20
    mentor: MentorName = MENTOR


class EntropyBand(BandOptions, Policy):
    """Have a mentor write from a mean entropy of `high_nats` on until it is below `low_nats`.

    The mean is taken over the generator's last `window` tokens looked at. While a mentor writes,
    the generator looks at one token between its pieces, so it is the generator that says when it is
    sure again.

    References:
        Entropy Adaptive Decoding, arXiv:2502.06833: a rolling mean entropy switches between two
        models. Window and thresholds are not known to us and are guesses; there the entropy
        is that of the model at work, here of the generator, as a mentor may be remote.
    """

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if self.low_nats > self.high_nats:
            raise ValueError(f"low_nats {self.low_nats} is above high_nats {self.high_nats}")
        return self

    @property
    def needs(self) -> Sequence[Need]:
        """Top-k log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "entropy", self.top_k), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that keeps the window."""
        return _BandSession(self)


class _BandSession(PolicySession):
    def __init__(self, policy: EntropyBand) -> None:
        self._policy = policy
        self._entropies: deque[float] = deque(maxlen=policy.window)
        self._is_mentors = False
        self._mean: float | None = None

    def glimpse(self) -> int:
        return 1

    def decide_before(self, draft: Draft) -> Decision:
        self._look_at(draft, 0)
        mean, policy = self._mean, self._policy
        if mean is not None:
            self._is_mentors = mean >= (policy.low_nats if self._is_mentors else policy.high_nats)
        return (
            Consult(policy.mentor, why="unsure", signal=mean)
            if self._is_mentors
            else Continue(signal=mean)
        )

    def decide(self, draft: Draft) -> Decision:
        self._look_at(draft, 1)
        return Continue(signal=self._mean)

    def _look_at(self, draft: Draft, first: int) -> None:
        known = (token.entropy_nats for token in draft.tokens[first:])
        self._entropies.extend(one for one in known if one is not None)
        self._mean = fmean(self._entropies) if self._entropies else None


class EntropyAdaptive(BandOptions, MethodRecipe):
    """The author switches every few tokens, by the generator's mean entropy.

    References:
        Entropy Adaptive Decoding, arXiv:2502.06833; see `EntropyBand`.
    """

    method = "entropy-adaptive"
    policy = EntropyBand

    piece_tokens: int = Field(default=8, ge=1, description="Tokens between two decisions.")
    max_answer_tokens: LongestAnswer = 8192

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.assembled(
            TokenUnit(size=self.piece_tokens),
            Until(self.piece_tokens),
            max_answer_tokens=self.max_answer_tokens,
        )
