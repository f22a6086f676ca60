"""Statistics of a run: intervals around what was counted."""

from math import sqrt

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a proportion.

    Args:
        successes: Between 0 and `count`.
        count: Trials; without any, nothing is known and the interval is `(0, 1)`.

    References:
        Wilson, 1927. Unlike the normal approximation it stays within `[0, 1]` and has a width at
        0 and `count` successes.
    """
    if count == 0:
        return 0.0, 1.0
    share, square = successes / count, Z_95**2
    scale = 1 + square / count
    centre = (share + square / (2 * count)) / scale
    half = Z_95 * sqrt(share * (1 - share) / count + square / (4 * count**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
