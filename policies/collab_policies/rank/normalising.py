"""What is done to a hidden state before its rank is taken."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collab.errors import ConfigError

Matrix = NDArray[np.float64]
State = Sequence[float] | NDArray[np.float32] | NDArray[np.float64]
"""One hidden state `(d,)`: a list, an `array` of float32 as backends hand it over, or numpy's."""

_LARGEST_MEAN = 1.0 + 1e-6
"""The mean of vectors whose RMS is 1 has at most that RMS, but for rounding."""


class Normaliser:
    """Divides each state by its root mean square, then subtracts a fixed mean of its layer.

    Hidden states share a large common offset and a few massive dimensions, so that without the mean
    every text looks as if it went in one direction. The mean of the window itself will not do:
    without it, a loop looks as if it went in all directions. It has to be the same for all texts:
    see `calibration_means`.

    A state without a direction (all zeros) or with a value that is not finite is unusable.

    Args:
        means: By layer, the mean of RMS-normalised states, `(L, d)`; `None` subtracts nothing.

    Raises:
        ConfigError: The means are not finite, or not those of RMS-normalised states.

    References:
        RankGuide, arXiv:2604.16694, does not say in what is known to us how states are normalised;
        this is inferred.
    """

    def __init__(self, means: Sequence[State] | NDArray[np.float64] | None = None) -> None:
        self._means = None if means is None else _checked_means(_stacked(means))

    @property
    def means(self) -> Matrix | None:
        """The means `(L, d)` in float64, not to be written to; `None` if nothing is subtracted."""
        return self._means

    def step(self, states: Sequence[State]) -> Matrix | None:
        """Return the normalised states of one step `(L, d)`, or `None` if one is unusable.

        Args:
            states: One for each layer, `(L, d)`.

        Raises:
            ValueError: Not as many or not as wide as the means, or not all of one width.
        """
        rows, is_usable = _unit_rms(self._fitting(_stacked(states)))
        if not is_usable.all():
            return None
        return rows if self._means is None else rows - self._means

    def tokens(self, states: Sequence[State]) -> Matrix:
        """Return those normalised states of tokens that are usable, `(T', d)`.

        Args:
            states: Of one layer, `(T, d)`.

        Raises:
            ValueError: There are means of several layers, or other widths.
        """
        if self._means is not None and len(self._means) != 1:
            raise ValueError(f"tokens are of one layer; there are means of {len(self._means)}")
        if not len(states):
            return np.empty((0, 0))
        stacked = _stacked(states)
        if self._means is not None:
            _ensure_width(stacked, self._means.shape[1])
        rows, is_usable = _unit_rms(stacked)
        rows = rows[is_usable]
        return rows if self._means is None else rows - self._means

    def _fitting(self, states: Matrix) -> Matrix:
        if self._means is not None:
            if len(states) != len(self._means):
                raise ValueError(f"{len(states)} states, but means of {len(self._means)} layers")
            _ensure_width(states, self._means.shape[1])
        return states


def calibration_means(steps: Iterable[Sequence[State]]) -> Matrix:
    """Return the means that a `Normaliser` subtracts, `(L, d)`.

    Args:
        steps: The states of many steps of many texts, each `(L, d)`; read once. Steps with an
            unusable state are left out.

    Raises:
        ConfigError: No step is usable.
        ValueError: Steps are of different shapes.
    """
    plain = Normaliser()
    total: Matrix | None = None
    count = 0
    for states in steps:
        normalised = plain.step(states)
        if normalised is None:
            continue
        if total is not None and total.shape != normalised.shape:
            raise ValueError(f"states {normalised.shape} among others of {total.shape}")
        total = normalised if total is None else total + normalised
        count += 1
    if total is None:
        raise ConfigError(
            "no step has usable hidden states, so there is no calibration mean; check that the "
            "model's states are finite"
        )
    means: Matrix = total / count
    return means


def _stacked(states: Sequence[State] | NDArray[np.float64]) -> Matrix:
    """Return states as float64 `(R, d)`."""
    widths = {len(state) for state in states}
    if len(widths) != 1 or 0 in widths:
        raise ValueError(f"{len(states)} states of the widths {sorted(widths)}; expected one width")
    return np.array(states, dtype=np.float64)


def _unit_rms(states: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return states `(R, d)` divided by their RMS, and which of them are usable `(R,)`."""
    largest = np.abs(states).max(axis=1)  # (R, d) -> (R,), NaN where one is
    is_usable = np.isfinite(largest) & (largest > 0)
    # By the largest first, so that no square overflows or vanishes.
    rows = np.where(is_usable[:, None], states, 1.0) / np.where(is_usable, largest, 1.0)[:, None]
    rows /= np.sqrt(np.mean(rows * rows, axis=1))[:, None]
    return rows, is_usable


def _checked_means(means: Matrix) -> Matrix:
    if not np.isfinite(means).all():
        raise ConfigError("the calibration means hold NaN or infinity; calibrate again")
    largest = float(np.sqrt(np.mean(means * means, axis=1)).max())
    if largest > _LARGEST_MEAN:
        raise ConfigError(
            f"a calibration mean has the root mean square {largest:.3g}; of RMS-normalised states "
            "it is at most 1: make it with calibration_means"
        )
    means.flags.writeable = False
    return means


def _ensure_width(states: Matrix, width: int) -> None:
    if states.shape[1] != width:
        raise ValueError(f"states are {states.shape[1]} wide, the calibration means {width}")
