"""Ranks from Gram matrices, and the score that a rank is of the most it could be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collab_policies.rank.normalising import Matrix
from collab_policies.rank.trajectory import Trajectory

Spectrum = NDArray[np.float64]
"""Eigenvalues of a Gram matrix, descending, none below 0."""

Measure = Callable[[Spectrum], float]
"""Takes a spectrum to a rank: `effective_rank`, or `numerical_rank` at some tolerance."""

FEWEST = 3
"""Of fewer rows a rank says nothing, unless the window itself is shorter."""


@dataclass(frozen=True, slots=True)
class RankReading:
    """What was read off a trajectory or a step.

    Attributes:
        ranks: One for each mode that was read, each at least 1.
        bounds: The most that each could be.
        score: Where the rank is between the least and the most, in `[0, 1]`: 0 is one direction
            again and again, 1 is a new direction each time.
    """

    ranks: tuple[float, ...]
    bounds: tuple[int, ...]
    score: float


def spectrum(gram: Matrix) -> Spectrum:
    """Return the eigenvalues of a symmetric matrix, what rounding put below 0 as 0."""
    found: Spectrum = np.linalg.eigvalsh(gram)[::-1].clip(min=0.0)
    return found


def effective_rank(eigenvalues: Spectrum) -> float:
    """Return `exp(-sum(p ln p))` of the eigenvalues' shares p.

    Between 1, of copies of one vector, and the number of eigenvalues, of orthogonal vectors of
    one length; 0 if all eigenvalues are 0.

    References:
        RankGuide, arXiv:2604.16694: a "tensor rank signal"; whether the effective rank is what
        the paper takes is not known to us. It is the notion we read it as by default.
    """
    total = float(eigenvalues.sum())
    if total <= 0:
        return 0.0
    shares = eigenvalues[eigenvalues > 0] / total
    # Of an eigenvalue near the smallest number the share is 0, and 0 ln 0 is 0.
    shares = shares[shares > 0]
    return math.exp(-float((shares * np.log(shares)).sum()))


def numerical_rank(eigenvalues: Spectrum, tolerance: float = 0.1) -> int:
    """Return the least r so that all eigenvalues after the r largest are `tolerance**2` of all.

    That is the rank of the best approximation whose relative error is at most `tolerance`; it
    keeps the share `1 - tolerance**2` of the energy. 0 if all eigenvalues are 0.

    Args:
        eigenvalues: Descending.
        tolerance: In (0, 1).

    References:
        RankGuide, arXiv:2604.16694: the paper's tolerance or energy level is not known to us.
    """
    total = float(eigenvalues.sum())
    if total <= 0:
        return 0
    behind = np.cumsum(eigenvalues[::-1])[::-1]  # behind[r]: all but the r largest
    return int(np.count_nonzero(behind > tolerance**2 * total))


def fold_of(width: int) -> tuple[int, int]:
    """Return the two factors of a width that are nearest to each other: 2560 is 40 x 64."""
    rows = next(rows for rows in range(math.isqrt(width), 0, -1) if width % rows == 0)
    return rows, width // rows


# --- readings -----------------------------------------------------------------------------------


def read_steps(trajectory: Trajectory, measure: Measure) -> RankReading | None:
    """Return the rank of the step mode: of steps x (layers x hidden). Reading D1.

    The score is `(rank - 1) / (m - 1)` for the m steps held; with fewer than 3 steps, or with
    nothing but zeros, there is no opinion: `None`. With one layer it is a matrix rank.

    References:
        RankGuide, arXiv:2604.16694; the paper's own formula is not known to us, this one is
        inferred.
    """
    steps = len(trajectory)
    if not _is_enough(trajectory):
        return None
    return _mean_reading([measure(spectrum(trajectory.gram))], [steps])


def read_modes(trajectory: Trajectory, measure: Measure) -> RankReading | None:
    """Return the ranks of the modes steps, layers and hidden (HOSVD). Reading D1, all modes.

    All come from the Gram matrix of all states, `(m * L, m * L)`; none of the hidden size is
    made. The score compares the geometric mean of the ranks with that of the most they could be.
    `None` as in `read_steps`.

    References:
        RankGuide, arXiv:2604.16694; the paper's own formula is not known to us, this one is
        inferred.
    """
    if not _is_enough(trajectory):
        return None
    steps, layers = len(trajectory), trajectory.layers
    block = trajectory.block_gram
    by_state = block.reshape(steps, layers, steps, layers)
    grams = (
        by_state.trace(axis1=1, axis2=3),  # (m, m)
        by_state.trace(axis1=0, axis2=2),  # (L, L)
        block,  # its eigenvalues above 0 are those of the hidden mode
    )
    bounds = _mode_bounds((steps, layers, trajectory.width))
    return _mean_reading([measure(spectrum(gram)) for gram in grams], bounds)


def read_folded(
    trajectory: Trajectory, measure: Measure, fold: tuple[int, int] | None = None
) -> RankReading | None:
    """Return the multilinear ranks of steps x d1 x d2, the hidden axis folded. Reading D2.

    The score compares their sum with the most and the least it could be. The basis of a hidden
    state means nothing, so that this one changes where the hidden axis is rotated: it is for
    comparison only. `None` as in `read_steps`.

    Args:
        trajectory: Of one layer.
        measure: The notion of rank.
        fold: `(d1, d2)`; `None` takes `fold_of` the width.

    Raises:
        ValueError: Several layers, or a fold that does not give the width.

    References:
        RankGuide, arXiv:2604.16694; the paper's own formula is not known to us, this one is
        inferred.
    """
    if trajectory.layers != 1:
        raise ValueError(f"a folded tensor is of one layer, the trajectory has {trajectory.layers}")
    if not _is_enough(trajectory):
        return None
    flat = trajectory.tensor[:, 0]  # (m, d)
    rows, columns = fold or fold_of(flat.shape[1])
    if rows * columns != flat.shape[1]:
        raise ValueError(f"a fold of {rows} x {columns} does not give a width of {flat.shape[1]}")
    folded = flat.reshape(-1, rows, columns)
    by_row = folded.transpose(1, 0, 2).reshape(rows, -1)
    by_column = folded.transpose(2, 0, 1).reshape(columns, -1)
    grams = (trajectory.gram, by_row @ by_row.T, by_column @ by_column.T)
    ranks = [measure(spectrum(gram)) for gram in grams]
    bounds = _mode_bounds(folded.shape)
    most, least = sum(bounds), len(bounds)
    return _reading(ranks, bounds, (sum(ranks) - least) / (most - least) if most > least else None)


def read_tokens(tokens: Matrix, measure: Measure) -> RankReading | None:
    """Return the rank of one step's tokens x hidden at one layer. Reading D3.

    The score is the rank divided by the smaller of both sizes, above 0 and at most 1: the rank
    depends on the step's length. With fewer than 3 tokens, or nothing but zeros: `None`.

    Args:
        tokens: Normalised states, `(T, d)`. The smaller of both Gram matrices is made.
        measure: The notion of rank.

    References:
        RankGuide, arXiv:2604.16694; the paper's own formula is not known to us, this one is
        inferred.
    """
    if len(tokens) < FEWEST:
        return None
    count, width = tokens.shape
    rank = measure(spectrum(tokens @ tokens.T if count <= width else tokens.T @ tokens))
    bound = min(count, width)
    return _reading([rank], [bound], rank / bound)


def _is_enough(trajectory: Trajectory) -> bool:
    return len(trajectory) >= min(FEWEST, trajectory.window)


def _mode_bounds(shape: Sequence[int]) -> list[int]:
    """Return the largest rank of each mode: no more than its size, nor than all others'."""
    size = math.prod(shape)
    return [min(one, size // one) for one in shape]


def _mean_reading(ranks: Sequence[float], bounds: Sequence[int]) -> RankReading | None:
    least, most = 1.0, _geometric_mean(bounds)
    if most <= least or min(ranks) <= 0:
        return None
    return _reading(ranks, bounds, (_geometric_mean(ranks) - least) / (most - least))


def _reading(
    ranks: Sequence[float], bounds: Sequence[int], score: float | None
) -> RankReading | None:
    """Return a reading, or `None` where there are only zeros or nothing could be larger."""
    if score is None or min(ranks) <= 0:
        return None
    # Rounding can put it just outside.
    return RankReading(tuple(ranks), tuple(bounds), min(max(score, 0.0), 1.0))


def _geometric_mean(values: Sequence[float]) -> float:
    return math.prod(values) ** (1 / len(values))
