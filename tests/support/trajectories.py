"""Hidden states of made-up texts, trajectories that hold them, and every reading of their rank."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.random import Generator

from collab_policies.rank.normalising import Matrix, Normaliser
from collab_policies.rank.scores import (
    Measure,
    RankReading,
    effective_rank,
    numerical_rank,
    read_folded,
    read_modes,
    read_steps,
    read_tokens,
)
from collab_policies.rank.trajectory import PLAIN, Trajectory

Read = Callable[[Matrix, Normaliser, Measure], RankReading | None]

WIDTH = 24
MEASURES: list[Measure] = [effective_rank, partial(numerical_rank, tolerance=0.1)]
PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=40)


def draw_states(rng: Generator, steps: int, *, layers: int = 1, width: int = WIDTH) -> Matrix:
    """Return states `(steps, layers, width)` of some structure: rows repeat and share parts."""
    directions = rng.standard_normal((max(steps // 2, 1), layers, width))
    picked = directions[rng.integers(len(directions), size=steps)]
    return picked + rng.uniform(0, 1) * rng.standard_normal(picked.shape)


def pushed(states: Any, *, window: int | None = None, normaliser: Normaliser = PLAIN) -> Trajectory:
    """Return a trajectory that was given states `(steps, layers, width)`, one after the other."""
    stacked = np.asarray(states, dtype=np.float64)
    trajectory = Trajectory(window or max(len(stacked), 2), stacked.shape[1], normaliser)
    for step in stacked:
        assert trajectory.push(list(step))
    return trajectory


def rotation(rng: Generator, width: int) -> Matrix:
    """Return a random orthogonal matrix."""
    found: Matrix = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return found


# --- readings of states `(steps, layers, width)` ---------------------------------------------


def by_steps(states: Matrix, normaliser: Normaliser, measure: Measure) -> RankReading | None:
    return read_steps(pushed(states, normaliser=normaliser), measure)


def by_modes(states: Matrix, normaliser: Normaliser, measure: Measure) -> RankReading | None:
    return read_modes(pushed(states, normaliser=normaliser), measure)


def by_fold(states: Matrix, normaliser: Normaliser, measure: Measure) -> RankReading | None:
    return read_folded(pushed(states, normaliser=normaliser), measure)


def by_tokens(states: Matrix, normaliser: Normaliser, measure: Measure) -> RankReading | None:
    return read_tokens(normaliser.tokens(list(states[:, 0])), measure)


EVERY = pytest.mark.parametrize(
    ("read", "layers"), [(by_steps, 1), (by_steps, 3), (by_modes, 3), (by_fold, 1), (by_tokens, 1)]
)
UNFOLDED = pytest.mark.parametrize(
    ("read", "layers"), [(by_steps, 1), (by_steps, 3), (by_modes, 3), (by_tokens, 1)]
)
MEASURED = pytest.mark.parametrize("measure", MEASURES, ids=["effective", "numerical"])
