"""Which steps a steering vector is made of: two pools, and the sign of their difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from collab.errors import TrainingError
from collab_policies.thoughts import Thought

Select = Literal["all", "stable", "rank", "rank-texts", "rank-contrast"]

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Steps:
    """What is known of all steps, one after the other.

    Attributes:
        thoughts: What each does.
        texts: The number of the text that each belongs to, ascending.
        scores: The rank score of the window that ends with each; NaN where there is no opinion.
        same_again: Share of those written again that do the same; NaN where none was.
    """

    thoughts: Sequence[Thought]
    texts: NDArray[np.int64]
    scores: Scores
    same_again: Scores

    def are(self, *wanted: Thought) -> Mask:
        """Return which do one of these."""
        return np.array([thought in wanted for thought in self.thoughts], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Pools:
    """The two pools whose means a vector is the difference of.

    Attributes:
        plus: Steps of the pool whose mean counts positive.
        minus: Of the other.
        scale: Suggested factor: towards execution.
        convention: The same in words.
    """

    plus: Mask
    minus: Mask
    scale: float
    convention: str


_SEAL = "mean(reflection and transition) - mean(execution), applied with -1"
_TURNED = "mean({}) - mean(reflection and transition{}), applied with +1"


def pools_of(steps: Steps, select: Select, *, percentile: float, stable_share: float) -> Pools:
    """Return the pools that a way of selecting makes.

    A step or text without a rank score is kept: a filter drops only what it finds low.

    Args:
        steps: All steps.
        select: The way, see `collab_policies.steering_vectors.extractor.VectorExtractor`.
        percentile: Of the rank scores, in `[0, 100)`; 0 drops nothing.
        stable_share: Of `stable`: the least share that has to do the same again.

    Raises:
        TrainingError: A pool is empty.
    """
    execution, others = steps.are("execution"), steps.are("reflection", "transition")
    match select:
        case "all":
            pools = Pools(others, execution, -1.0, _SEAL)
        case "stable":
            stable = steps.same_again >= stable_share
            pools = Pools(others & stable, execution & stable, -1.0, f"{_SEAL}; stable steps")
        case "rank":
            high = ~_is_low(steps.scores, percentile)
            words = _TURNED.format("execution of high rank", "")
            pools = Pools(execution & high, others, 1.0, words)
        case "rank-texts":
            high = ~_is_low(_text_means(steps), percentile)[steps.texts]
            words = _TURNED.format("execution", "; both of texts of high rank")
            pools = Pools(execution & high, others & high, 1.0, words)
        case "rank-contrast":
            low = _is_low(steps.scores, percentile)
            high = ~low & ~np.isnan(steps.scores)
            pools = Pools(high, low, 1.0, "mean(high rank) - mean(low rank), applied with +1")
        case _:
            assert_never(select)
    _ensure_filled(pools, steps, select)
    return pools


def _is_low(scores: Scores, percentile: float) -> Mask:
    """Return which are below the quantile; no opinion is not."""
    known = scores[~np.isnan(scores)]
    if not known.size:
        return np.zeros(scores.shape, dtype=np.bool_)
    below: Mask = scores < np.quantile(known, percentile / 100)  # NaN is not
    return below


def _text_means(steps: Steps) -> Scores:
    """Return the mean score of each text, NaN where none of its steps has one."""
    count = int(steps.texts.max()) + 1 if steps.texts.size else 0
    means = np.full(count, np.nan)
    for text in range(count):
        own = steps.scores[steps.texts == text]
        if (known := own[~np.isnan(own)]).size:
            means[text] = known.mean()
    return means


def _ensure_filled(pools: Pools, steps: Steps, select: Select) -> None:
    if pools.plus.any() and pools.minus.any():
        return
    counts = ", ".join(
        f"{int(steps.are(thought).sum())} {thought}"
        for thought in ("execution", "reflection", "transition")
    )
    scored = int((~np.isnan(steps.scores)).sum())
    empty = {
        "all": "one class is empty; take more problems, or other extractor.keywords",
        "stable": "no step of one class comes again as what it was; lower extractor.stable_share, "
        "or take more problems",
        "rank": "nothing is left of one class; lower extractor.percentile, or take more problems",
        "rank-texts": "nothing is left of one class; lower extractor.percentile, or take more "
        "problems",
        "rank-contrast": f"of {scored} steps with a rank, none is on one side; set "
        "extractor.percentile above 0, a smaller extractor.window for short texts, or take more "
        "problems",
    }[select]
    raise TrainingError(
        f"no vector can be made of {len(steps.thoughts)} steps ({counts}) with select "
        f"{select!r}: {empty}"
    )
