"""Aiming: the boldness with which a pair meets a target, first replayed, then run."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from collab.calibrating.replay import boldness_for

Kind = Literal["share", "steps", "cost"]

CLOSE = 0.02
"""A share this near to its target is not improved any more; of a cost, this part of it."""

CURVE = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of which the curve tells the expectation."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of a pair.

    Attributes:
        kind: `share`: of all tokens of the answers, written by mentors. `steps`: of all steps,
            decided for a mentor. `cost`: US dollars per problem.
        value: How much of it.
    """

    kind: Kind
    value: float

    @property
    def tolerance(self) -> float:
        """How far off is near enough."""
        return CLOSE * self.value if self.kind == "cost" else CLOSE


@dataclass(frozen=True, slots=True)
class Aim:
    """A boldness and what it came to.

    Attributes:
        boldness: In [0, 1].
        reached: What the pair came to with it, as the target counts.
        rounds: Runs of the pair that it took.
    """

    boldness: float
    reached: float
    rounds: int


async def aim(
    target: Target,
    share_of: Callable[[float], float],
    run_with: Callable[[float], Awaitable[float]],
    *,
    rounds: int,
) -> Aim:
    """Return the boldness that comes nearest to the target on the problems that are run.

    The replay does not know what a mentor's words change, so the pair is run and the boldness
    moved: by what the replay says of the difference at first, between two runs as soon as they
    enclose the target.

    Args:
        target: What is wanted.
        share_of: The replayed share of a boldness; does not fall.
        run_with: Runs the pair with a boldness and returns what it came to.
        rounds: Most runs, at least 1.
    """
    boldness = boldness_for(min(target.value, 1.0) if target.kind != "cost" else 0.2, share_of)
    tried: dict[float, float] = {}
    for _ in range(rounds):
        if boldness in tried:
            break
        tried[boldness] = await run_with(boldness)
        if abs(tried[boldness] - target.value) <= target.tolerance:
            break
        boldness = _next(target.value, tried, share_of)
    best = min(tried, key=lambda one: abs(tried[one] - target.value))
    return Aim(best, tried[best], len(tried))


def curve(share_of: Callable[[float], float]) -> Mapping[str, float]:
    """Return the replayed share of the boldness that was chosen for each share of `CURVE`."""
    return {f"{wanted:.0%}": share_of(boldness_for(wanted, share_of)) for wanted in CURVE}


def _next(target: float, tried: Mapping[float, float], share_of: Callable[[float], float]) -> float:
    below = [one for one, reached in tried.items() if reached < target]
    above = [one for one, reached in tried.items() if reached >= target]
    if below and above:
        low, high = max(below), min(above)
        span = tried[high] - tried[low]
        between = (target - tried[low]) / span if span > 0 else 0.5
        # In shares, not in boldness: quantiles of a signal are no straight line.
        shares = share_of(low), share_of(high)
        return boldness_for(shares[0] + between * (shares[1] - shares[0]), share_of)
    latest = below[-1] if below else above[-1]
    if tried[latest] <= 0:
        return min(2 * latest + 0.05, 1.0)
    return boldness_for(min(share_of(latest) * target / tried[latest], 1.0), share_of)
