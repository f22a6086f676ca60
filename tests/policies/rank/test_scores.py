"""Ranks: exact values, and where there is no opinion."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from support.trajectories import (
    EVERY,
    MEASURED,
    WIDTH,
    Read,
    by_fold,
    by_modes,
    by_steps,
    by_tokens,
    draw_states,
    pushed,
    rotation,
)

from collab_policies.rank.normalising import Normaliser
from collab_policies.rank.scores import (
    Measure,
    RankReading,
    effective_rank,
    fold_of,
    numerical_rank,
    read_folded,
    read_modes,
    read_steps,
    spectrum,
)
from collab_policies.rank.trajectory import Trajectory

# --- exact values -------------------------------------------------------------------------------


def test_the_effective_rank_is_the_exponential_of_the_spectrums_entropy() -> None:
    # Shares 1/2, 1/4, 1/4: entropy 1.5 ln 2.
    assert effective_rank(np.array([2.0, 1.0, 1.0])) == pytest.approx(2**1.5)
    assert effective_rank(np.array([3.0, 3.0, 0.0])) == pytest.approx(2.0)
    assert effective_rank(np.array([5.0])) == 1.0
    assert effective_rank(np.array([1.0, 5e-324])) == 1.0


@pytest.mark.parametrize(
    ("tolerance", "rank"),
    # Behind 1, 2, 3 values 4, 1 and 0 of 100 are left; tolerances squared: 0.05, 0.04, 0.02 …
    [(math.sqrt(0.05), 1), (0.2, 1), (math.sqrt(0.02), 2), (0.1, 2), (0.05, 3)],
)
def test_the_numerical_rank_leaves_at_most_the_tolerated_error(tolerance: float, rank: int) -> None:
    assert numerical_rank(np.array([96.0, 3.0, 1.0, 0.0]), tolerance) == rank


def test_the_rank_of_zeros_is_zero() -> None:
    assert effective_rank(np.zeros(3)) == 0.0
    assert numerical_rank(np.zeros(3)) == 0


def test_eigenvalues_descend_and_none_is_below_zero() -> None:
    # Of rank 1, so that rounding puts some below zero.
    row = np.arange(1.0, 9.0)[:, None]
    found = spectrum(row @ row.T)

    assert found[0] == pytest.approx(204.0)
    assert list(found) == sorted(found, reverse=True)
    assert found.min() >= 0.0


@pytest.mark.parametrize(
    ("width", "fold"), [(1536, (32, 48)), (2560, (40, 64)), (36, (6, 6)), (7, (1, 7))]
)
def test_a_width_is_folded_nearest_to_a_square(width: int, fold: tuple[int, int]) -> None:
    assert fold_of(width) == fold


@MEASURED
@pytest.mark.parametrize("layers", [1, 3])
def test_copies_of_one_step_have_rank_one_and_score_zero(measure: Measure, layers: int) -> None:
    step = np.random.default_rng(0).standard_normal((1, layers, WIDTH))

    found = by_steps(np.repeat(step, 8, axis=0), Normaliser(), measure)

    assert found is not None
    assert found.ranks == pytest.approx((1.0,), abs=1e-9)
    assert found.score == pytest.approx(0.0, abs=1e-9)


@MEASURED
@pytest.mark.parametrize("read", [by_modes, by_fold])
def test_copies_of_a_step_of_rank_one_score_zero_in_all_modes(read: Read, measure: Measure) -> None:
    # One layer of equal numbers: its fold is of rank 1 as well.
    found = read(np.ones((8, 1, WIDTH)), Normaliser(), measure)

    assert found is not None
    assert found.ranks == pytest.approx((1.0, 1.0, 1.0), abs=1e-9)
    assert found.score == pytest.approx(0.0, abs=1e-9)


@MEASURED
def test_copies_of_one_token_have_rank_one_of_their_number(measure: Measure) -> None:
    found = by_tokens(np.ones((8, 1, WIDTH)), Normaliser(), measure)

    assert found is not None
    assert found.ranks == pytest.approx((1.0,), abs=1e-9)
    assert found.score == pytest.approx(1 / 8, abs=1e-9)


@MEASURED
@pytest.mark.parametrize("read", [by_steps, by_modes, by_tokens])
def test_orthogonal_states_have_the_rank_of_their_number_and_score_one(
    read: Read, measure: Measure
) -> None:
    states = rotation(np.random.default_rng(0), WIDTH)[:8, None]

    found = read(states, Normaliser(), measure)

    assert found is not None
    assert found.ranks[0] == pytest.approx(8.0, abs=1e-6)
    assert found.score == pytest.approx(1.0, abs=1e-6)


def test_of_two_directions_in_all_modes_the_geometric_mean_is_taken() -> None:
    # Four steps a, b, a, b in two layers that hold the same: ranks 2, 1 and 2.
    a, b = np.eye(4)[:2]
    states = np.array([[a, a], [b, b]] * 2)

    found = by_modes(states, Normaliser(), effective_rank)

    assert found is not None
    assert found.ranks == pytest.approx((2.0, 1.0, 2.0))
    assert found.bounds == (4, 2, 4)
    # (2 * 1 * 2)^(1/3) of at most (4 * 2 * 4)^(1/3).
    assert found.score == pytest.approx((4 ** (1 / 3) - 1) / (32 ** (1 / 3) - 1))


def test_of_a_folded_tensor_the_ranks_are_summed() -> None:
    # Steps e0, e1, e0 of width 4, folded 2 x 2: e0 and e1 are the same row, two columns.
    states = np.eye(4)[[0, 1, 0]][:, None]

    found = by_fold(states, Normaliser(), partial(numerical_rank, tolerance=0.1))

    assert found is not None
    assert found.ranks == (2, 1, 2)
    assert found.bounds == (3, 2, 2)
    assert found.score == pytest.approx((5 - 3) / (7 - 3))


def test_tokens_keep_their_share_of_the_smaller_side() -> None:
    # Six tokens in two dimensions, orthogonal in pairs: 2 of at most 2.
    found = by_tokens(np.array([[[1.0, 1.0]], [[1.0, -1.0]]] * 3), Normaliser(), effective_rank)

    assert found is not None
    assert (*found.ranks, *found.bounds, found.score) == pytest.approx((2.0, 2, 1.0))


# --- no opinion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_steps, read_modes, read_folded])
def test_there_is_no_opinion_before_the_third_step(
    read: Callable[[Trajectory, Measure], RankReading | None],
) -> None:
    states = draw_states(np.random.default_rng(0), 3)
    readings = [
        read(pushed(states[:count], window=8), effective_rank)
        if count
        else read(Trajectory(8), effective_rank)
        for count in range(4)
    ]

    assert readings[:3] == [None, None, None]
    assert readings[3] is not None
    assert readings[3].bounds[0] == 3


def test_a_window_of_two_has_an_opinion_of_two_steps() -> None:
    trajectory = pushed([[[1.0, 1.0]], [[1.0, -1.0]]], window=2)

    found = read_steps(trajectory, effective_rank)

    assert found is not None
    assert (*found.ranks, *found.bounds, found.score) == pytest.approx((2.0, 2, 1.0))


def test_there_is_no_opinion_on_fewer_than_three_tokens() -> None:
    states = draw_states(np.random.default_rng(0), 3)

    assert by_tokens(states[:2], Normaliser(), effective_rank) is None
    assert by_tokens(states, Normaliser(), effective_rank) is not None


@EVERY
@MEASURED
def test_where_nothing_but_zeros_is_left_there_is_no_opinion(
    read: Read, layers: int, measure: Measure
) -> None:
    states = np.ones((4, layers, WIDTH))

    assert read(states, Normaliser(np.ones((layers, WIDTH))), measure) is None


@EVERY
@MEASURED
def test_some_zeros_among_the_states_harm_nothing(
    read: Read, layers: int, measure: Measure
) -> None:
    states = draw_states(np.random.default_rng(0), 5, layers=layers)
    states[1:3] = 1.0

    found = read(states, Normaliser(np.ones((layers, WIDTH))), measure)

    assert found is not None
    assert all(map(math.isfinite, (*found.ranks, found.score)))


@pytest.mark.parametrize("read", [by_modes, by_fold])
def test_where_nothing_could_be_of_higher_rank_there_is_no_opinion(read: Read) -> None:
    assert read(np.ones((4, 1, 1)), Normaliser(), effective_rank) is None


def test_a_fold_that_does_not_fit_is_refused() -> None:
    one, two = (pushed(draw_states(np.random.default_rng(0), 4, layers=n)) for n in (1, 2))

    with pytest.raises(ValueError, match="5 x 5 does not give a width of 24"):
        read_folded(one, effective_rank, (5, 5))
    with pytest.raises(ValueError, match="of one layer, the trajectory has 2"):
        read_folded(two, effective_rank)
