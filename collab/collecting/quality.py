"""How well scores tell two classes apart, and how far they can be taken as probabilities."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

RESAMPLES = 1000
BINS = 10


def auroc(
    scores: Sequence[float], labels: Sequence[bool], counts: Sequence[int] | None = None
) -> float:
    """Return the probability that a true one's score is above a false one's; ties count half.

    Args:
        scores: One for each.
        labels: Which are true; both kinds have to be there.
        counts: How often each counts; once if not given.

    Raises:
        ValueError: All are of one kind.
    """
    weights = counts or [1] * len(scores)
    ordered = sorted(zip(scores, labels, weights, strict=True), key=lambda one: one[0])
    below = area = trues = 0.0
    for _, group in groupby(ordered, key=lambda one: one[0]):
        here = list(group)
        true = sum(count for _, label, count in here if label)
        false = sum(count for _, label, count in here if not label)
        area += true * (below + false / 2)
        below += false
        trues += true
    if not trues or not below:
        raise ValueError("an AUROC needs both true and false labels")
    return area / (trues * below)


def auroc_interval(
    scores: Sequence[float], labels: Sequence[bool], groups: Sequence[str], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the AUROC.

    Groups are drawn, not single scores: branches of one problem share its luck, and an interval
    that takes them as independent would be too narrow. Draws of one class only are left out.

    Args:
        scores: As for `auroc`.
        labels: As for `auroc`.
        groups: For each, the group that it belongs to.
        seed: Of the draws.
    """
    rng = random.Random(seed)
    names = sorted(set(groups))
    found: list[float] = []
    for _ in range(RESAMPLES):
        drawn = Counter(rng.choices(names, k=len(names)))
        counts = [drawn[group] for group in groups]
        kinds = {label for label, count in zip(labels, counts, strict=True) if count}
        if len(kinds) > 1:
            found.append(auroc(scores, labels, counts))
    if not found:
        return 0.0, 1.0
    found.sort()
    return _quantile(found, 0.025), _quantile(found, 0.975)


def brier(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the mean squared difference between scores and outcomes; 0 is perfect."""
    squares = ((score - label) ** 2 for score, label in zip(scores, labels, strict=True))
    return sum(squares) / len(scores)


def calibration_error(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the expected calibration error over ten bins of equal width; 0 is perfect.

    In each bin, the mean score is compared with the share of true ones.
    """

    def bin_of(pair: tuple[float, bool]) -> int:
        return min(int(pair[0] * BINS), BINS - 1)

    return sum(
        abs(sum(score - label for score, label in pairs))
        for pairs in _grouped(list(zip(scores, labels, strict=True)), bin_of)
    ) / len(scores)


def _grouped(
    pairs: list[tuple[float, bool]], key: Callable[[tuple[float, bool]], int]
) -> list[list[tuple[float, bool]]]:
    return [list(group) for _, group in groupby(sorted(pairs, key=key), key=key)]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of ascending numbers, between two of them if need be."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
