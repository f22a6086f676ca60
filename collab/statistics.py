"""Statistics of runs: intervals around what was counted, and whether two runs differ."""

from math import comb, sqrt

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


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of the exact McNemar test, in `(0, 1]`.

    Two ways to answer the same problems are compared by those that only one of them got right. If
    neither were better, each of these would be a fair coin. What both or neither got right says
    nothing.

    Args:
        only_first: Problems that only the first got right, at least 0.
        only_second: Problems that only the second got right, at least 0.

    Raises:
        ValueError: A count is negative.

    References:
        McNemar, 1947; the binomial distribution itself instead of its approximation, with the
        smaller tail doubled.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"{only_first} and {only_second} problems: a count is at least 0")
    count = only_first + only_second
    tail = sum(comb(count, successes) for successes in range(min(only_first, only_second) + 1))
    # Divided as whole numbers, which stays exact where the divisor exceeds any float.
    return min(1.0, 2 * tail / (1 << count))
