"""Mixtures: two normal distributions fitted to the generator's confidence."""

import math
from collections.abc import Sequence
from statistics import pvariance

from pydantic import BaseModel, ConfigDict, Field

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
