"""STEER: two bells fitted to the generator's confidence say how reliable it is."""

import math
import random
from collections.abc import Sequence
from statistics import fmean, pvariance

from pydantic import BaseModel, ConfigDict, Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.recipes import Recipe
from collab.roles import GENERATOR, MENTOR
from collab_policies.steps import StepRecipe

_ROUNDS = 50
_SMALLEST_VARIANCE = 1e-6


class Mixture(BaseModel):
    """Two normal distributions of the confidence: where the generator fails, and elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(gt=0, lt=1, description="Share of the upper distribution.")
    low: float = Field(description="Mean of the lower distribution.")
    high: float = Field(description="Mean of the upper distribution.")
    low_variance: float = Field(gt=0, description="Variance of the lower distribution.")
    high_variance: float = Field(gt=0, description="Variance of the upper distribution.")

    def is_reliable(self, confidence: float) -> float:
        """Return the posterior probability of the upper one, in `[0, 1]`.

        Outside of both means the nearer one decides: a wider bell would win far out.
        """
        confidence = min(max(confidence, self.low), self.high)
        upper = math.log(self.weight) + _log_normal(confidence, self.high, self.high_variance)
        lower = math.log1p(-self.weight) + _log_normal(confidence, self.low, self.low_variance)
        return 1 / (1 + math.exp(min(lower - upper, 700)))


def fit_mixture(confidences: Sequence[float]) -> Mixture | None:
    """Return the two bells that expectation-maximisation finds; `None` if all values are equal.

    It starts from the halves of the sorted values, so it is deterministic.
    """
    values = sorted(confidences)
    half = len(values) // 2
    if half < 1 or values[0] == values[-1]:
        return None
    mixture = _weighted(values, [0.0] * half + [1.0] * (len(values) - half))
    for _ in range(_ROUNDS):
        mixture = _weighted(values, [mixture.is_reliable(value) for value in values])
    return mixture


def _weighted(values: Sequence[float], upper: Sequence[float]) -> Mixture:
    count = len(values)
    mass = min(max(sum(upper), 1e-3), count - 1e-3)
    high = sum(u * v for u, v in zip(upper, values, strict=True)) / mass
    low = sum((1 - u) * v for u, v in zip(upper, values, strict=True)) / (count - mass)
    spread = sum(u * (v - high) ** 2 for u, v in zip(upper, values, strict=True)) / mass
    rest = sum((1 - u) * (v - low) ** 2 for u, v in zip(upper, values, strict=True))
    floor = max(_SMALLEST_VARIANCE, 1e-3 * pvariance(values))
    return Mixture(
        weight=mass / count,
        low=min(low, high),
        high=max(low, high),
        low_variance=max(rest / (count - mass), floor),
        high_variance=max(spread, floor),
    )


def _log_normal(value: float, mean: float, variance: float) -> float:
    return -0.5 * ((value - mean) ** 2 / variance + math.log(variance))


class ConfidenceMixture(Policy):
    """Have a mentor write the steps before which the generator is probably not reliable.

    The confidence is the mean log-probability of the step's first `look_ahead` tokens. Two normal
    distributions are fitted to those of the problem so far, or given once for all; the posterior of
    the upper one says how reliable the generator is. Behind fewer than `warm_up` steps, the
    generator writes.

    References:
        STEER, arXiv:2511.06190: logit confidence before the step, a mixture of two normal
        distributions by expectation-maximisation, a threshold on the posterior. Look-ahead,
        warm-up and threshold are not known to us.
    """

    threshold: float = Field(
        default=0.5, ge=0, le=1, description="A mentor writes below this reliability."
    )
    look_ahead: int = Field(
        default=1, ge=1, description="Number of a step's first tokens that are read."
    )
    warm_up: int = Field(default=6, ge=2, description="Number of steps before a mixture is fitted.")
    mixture: Mixture | None = Field(
        default=None, description="A given mixture; fitted along the way by default."
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")

    @property
    def needs(self) -> Sequence[Need]:
        """Log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "logprobs"), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that remembers confidences."""
        return _MixtureSession(self)


class _MixtureSession(PolicySession):
    def __init__(self, policy: ConfidenceMixture) -> None:
        self._policy = policy
        self._confidences: list[float] = []
        self._posterior: float | None = None

    def glimpse(self) -> int:
        return self._policy.look_ahead

    def decide_before(self, draft: Draft) -> Decision:
        known = [token.logprob for token in draft.tokens if token.logprob is not None]
        self._posterior = self._reliability(fmean(known)) if known else None
        if self._posterior is not None and self._posterior < self._policy.threshold:
            return Consult(self._policy.mentor, why="unreliable", signal=self._posterior)
        return Continue()

    def decide(self, draft: Draft) -> Decision:
        return Continue(why="reliable", signal=self._posterior)

    def _reliability(self, confidence: float) -> float | None:
        self._confidences.append(confidence)
        mixture = self._policy.mixture
        if mixture is None and len(self._confidences) > self._policy.warm_up:
            mixture = fit_mixture(self._confidences)
        return mixture.is_reliable(confidence) if mixture else None


class Steer(StepRecipe):
    """The mentor writes the steps before which the generator's confidence is of the lower kind.

    References:
        STEER, arXiv:2511.06190; see `ConfidenceMixture`.
    """

    threshold: float = Field(
        default=0.5, ge=0, le=1, description="The mentor writes below this reliability."
    )
    look_ahead: int = Field(
        default=1, ge=1, description="Number of a step's first tokens that are read."
    )
    warm_up: int = Field(default=6, ge=2, description="Number of steps before a mixture is fitted.")
    mixture: Mixture | None = Field(
        default=None, description="A given mixture; fitted along the way by default."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        policy = ConfidenceMixture(
            threshold=self.threshold,
            look_ahead=self.look_ahead,
            warm_up=self.warm_up,
            mixture=self.mixture,
            mentor=self.mentor,
        )
        return self.composed("steer", policy)
