"""Four made-up texts: only the fixed calibration mean tells a loop from a text that moves on.

Like those of real models, the states share a large offset and two massive dimensions.
"""

from collections.abc import Callable

import numpy as np
import pytest
from support.trajectories import pushed

from collab_policies.rank.normalising import Matrix, Normaliser, calibration_means
from collab_policies.rank.scores import effective_rank, read_steps, spectrum

STEPS, WIDTH = 8, 2560
MASSIVE = (7, 1_300)


def novel(rng: np.random.Generator) -> Matrix:
    return rng.standard_normal((STEPS, WIDTH))


def loop(rng: np.random.Generator) -> Matrix:
    return rng.standard_normal(WIDTH) + 0.05 * novel(rng)


def alternating(rng: np.random.Generator) -> Matrix:
    found: Matrix = rng.standard_normal((2, WIDTH))[[0, 1] * (STEPS // 2)] + 0.05 * novel(rng)
    return found


def random_walk(rng: np.random.Generator) -> Matrix:
    found: Matrix = np.cumsum(novel(rng), axis=0)
    return found / np.sqrt(np.arange(1, STEPS + 1))[:, None]


class Texts:
    """States of texts with a common offset and massive dimensions, `(steps, width)`."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(5)
        self._offset = 3 * self._rng.standard_normal(WIDTH)
        self._offset[list(MASSIVE)] = (900.0, -600.0)

    def write(self, kind: Callable[[np.random.Generator], Matrix]) -> Matrix:
        return self._offset + kind(self._rng)


def rank(states: Matrix, normaliser: Normaliser) -> float:
    reading = read_steps(pushed(states[:, None], normaliser=normaliser), effective_rank)
    assert reading is not None
    return reading.ranks[0]


def centred_rank(states: Matrix) -> float:
    """Return the rank with the mean of the window itself subtracted, as it is not done here."""
    rows = pushed(states[:, None]).tensor[:, 0]
    rows = rows - rows.mean(axis=0)
    return effective_rank(spectrum(rows @ rows.T))


KINDS = [loop, alternating, random_walk, novel]


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts()


@pytest.fixture(scope="module")
def calibrated(texts: Texts) -> Normaliser:
    others = (texts.write(novel) for _ in range(50))
    return Normaliser(calibration_means([state] for states in others for state in states))


def test_the_calibration_mean_puts_the_four_in_order(texts: Texts, calibrated: Normaliser) -> None:
    ranks = [rank(texts.write(kind), calibrated) for kind in KINDS]

    assert ranks == sorted(ranks)
    assert ranks[0] == pytest.approx(1.0, abs=0.1)
    assert ranks[1] == pytest.approx(2.0, abs=0.1)
    assert ranks[2] > 2.05
    assert ranks[3] == pytest.approx(8.0, abs=0.1)


def test_without_it_every_text_looks_like_a_loop(texts: Texts) -> None:
    ranks = [rank(texts.write(kind), Normaliser()) for kind in KINDS]

    assert max(ranks) < 1.2


def test_with_the_windows_own_mean_a_loop_looks_like_a_text_that_moves_on(texts: Texts) -> None:
    looping, alternates, _, moving_on = (centred_rank(texts.write(kind)) for kind in KINDS)

    assert looping == pytest.approx(moving_on, abs=0.1)
    assert looping > 6.5
    assert alternates < 1.2
