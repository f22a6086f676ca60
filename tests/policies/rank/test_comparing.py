"""Tensor fits agree with the Gram matrices on what has a low rank."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trajectories import PROPERTY, WIDTH, by_modes, draw_states, rotation

from collab.errors import ConfigError
from collab_policies.rank.comparing import cp_residual, tucker_residual
from collab_policies.rank.normalising import Matrix, Normaliser
from collab_policies.rank.scores import numerical_rank


def of_rank(rank: int) -> Matrix:
    """Return a tensor `(8, 4, 40)` that is a sum of so many outer products."""
    rng = np.random.default_rng(rank)
    factors = [rng.standard_normal((size, rank)) for size in (8, 4, 40)]
    found: Matrix = np.einsum("ir,jr,kr->ijk", *factors)
    return found


def test_a_tucker_fit_of_the_ranks_read_is_within_their_tolerance() -> None:
    pytest.importorskip("tensorly")
    states = draw_states(np.random.default_rng(1), 8, layers=4)
    tensor = np.array([Normaliser().step(list(step)) for step in states])
    reading = by_modes(states, Normaliser(), lambda values: numerical_rank(values, 0.3))

    assert reading is not None
    ranks = [int(rank) for rank in reading.ranks]
    # Cut in every mode, the error is at most the root of the sum of the three modes' squares.
    assert tucker_residual(tensor, ranks) <= 3**0.5 * 0.3
    # One less in the mode of the steps leaves more than the tolerance there.
    assert tucker_residual(tensor, [ranks[0] - 1, *ranks[1:]]) > 0.3


def test_a_tucker_fit_of_full_ranks_leaves_nothing() -> None:
    pytest.importorskip("tensorly")

    assert tucker_residual(of_rank(3), [3, 3, 3]) == pytest.approx(0.0, abs=1e-9)


def test_a_cp_fit_is_exact_from_the_tensors_own_rank_on() -> None:
    pytest.importorskip("tensorly")

    assert cp_residual(of_rank(2), 2, rounds=500) < 0.01
    assert cp_residual(of_rank(8), 2) > 0.1


def test_the_same_seed_gives_the_same_cp_fit() -> None:
    pytest.importorskip("tensorly")
    tensor = of_rank(8)

    # Six components, but only four layers.
    first, again, other = (cp_residual(tensor, 6, seed=seed, rounds=5) for seed in (1, 1, 2))

    assert first == again
    assert first != other


@settings(PROPERTY, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_factor_or_a_rotation_of_the_hidden_axis_changes_no_fit(seed: int) -> None:
    pytest.importorskip("tensorly")
    rng = np.random.default_rng(seed)
    tensor = rng.standard_normal((6, 4, WIDTH))
    changed = rng.uniform(0.1, 10) * tensor @ rotation(rng, WIDTH)

    for components in (3, 6):
        plain, other = (cp_residual(one, components, rounds=20) for one in (tensor, changed))
        assert other == pytest.approx(plain, abs=1e-6)
    assert tucker_residual(changed, [4, 2, 5]) == pytest.approx(
        tucker_residual(tensor, [4, 2, 5]), abs=1e-6
    )


def test_zeros_have_no_fit() -> None:
    pytest.importorskip("tensorly")

    with pytest.raises(ValueError, match="nothing but zeros has no fit"):
        cp_residual(np.zeros((8, 4, 40)))


def test_without_tensorly_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorly.decomposition", None)

    with pytest.raises(ConfigError, match=r"pip install -e '\.\[tensor\]'"):
        tucker_residual(of_rank(2), [2, 2, 2])
