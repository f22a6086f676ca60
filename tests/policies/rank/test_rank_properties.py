"""The properties that every reading of a rank has to have."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trajectories import (
    EVERY,
    MEASURED,
    MEASURES,
    PROPERTY,
    UNFOLDED,
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

from collab_policies.rank.normalising import Matrix, Normaliser
from collab_policies.rank.scores import (
    Measure,
    RankReading,
    effective_rank,
    read_modes,
    read_steps,
)

SEEDS = st.integers(0, 10**6)
STEPS = st.integers(3, 8)


@EVERY
@MEASURED
@PROPERTY
@given(seed=SEEDS, steps=STEPS, power=st.integers(-30, 30))
def test_a_factor_on_all_states_changes_nothing(
    read: Read, layers: int, measure: Measure, seed: int, steps: int, power: int
) -> None:
    rng = np.random.default_rng(seed)
    states = draw_states(rng, steps, layers=layers)
    normaliser = Normaliser(mean_of(rng, layers))
    factor = rng.uniform(1, 10) * 10.0**power

    assert_same(read(factor * states, normaliser, measure), read(states, normaliser, measure))


@UNFOLDED
@MEASURED
@PROPERTY
@given(seed=SEEDS, steps=STEPS)
def test_a_rotation_of_the_hidden_axis_with_the_means_changes_nothing(
    read: Read, layers: int, measure: Measure, seed: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    states, mean = draw_states(rng, steps, layers=layers), mean_of(rng, layers)
    turn = rotation(rng, WIDTH)

    rotated = read(states @ turn, Normaliser(mean @ turn), measure)

    assert_same(rotated, read(states, Normaliser(mean), measure))


def test_a_rotation_changes_a_folded_tensors_ranks() -> None:
    states = np.ones((4, 1, WIDTH))
    turn = rotation(np.random.default_rng(0), WIDTH)

    straight = by_fold(states, Normaliser(), effective_rank)
    rotated = by_fold(states @ turn, Normaliser(), effective_rank)

    assert straight is not None
    assert rotated is not None
    assert rotated.score > straight.score + 0.05


@EVERY
@MEASURED
@PROPERTY
@given(seed=SEEDS, steps=STEPS)
def test_the_order_of_the_steps_does_not_matter(
    read: Read, layers: int, measure: Measure, seed: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    states = draw_states(rng, steps, layers=layers)
    normaliser = Normaliser(mean_of(rng, layers))

    shuffled = read(states[rng.permutation(steps)], normaliser, measure)

    assert_same(shuffled, read(states, normaliser, measure))


@pytest.mark.parametrize("read", [by_steps, by_modes, by_tokens])
@MEASURED
@PROPERTY
@given(seed=SEEDS, steps=STEPS)
def test_an_orthogonal_state_in_place_of_a_repeated_one_raises_the_rank(
    read: Read, measure: Measure, seed: int, steps: int
) -> None:
    directions = rotation(np.random.default_rng(seed), WIDTH)[:, None]
    scores = []
    for novel in range(1, steps + 1):
        # The first of `novel` directions stands in all other places.
        states = directions[[*range(novel), *[0] * (steps - novel)]]
        found = read(states, Normaliser(), measure)
        assert found is not None
        scores.append(found.score)

    assert all(low < high for low, high in pairwise(scores))


@PROPERTY
@given(seed=SEEDS, steps=STEPS, layers=st.integers(1, 4), width=st.sampled_from([4, 6, 24]))
def test_every_modes_gram_matrix_gives_the_ranks_of_a_full_svd(
    seed: int, steps: int, layers: int, width: int
) -> None:
    states = draw_states(np.random.default_rng(seed), steps, layers=layers, width=width)
    trajectory = pushed(states)
    for measure in MEASURES:
        expected = [measure(by_svd(trajectory.tensor, mode)) for mode in range(3)]

        one, all_modes = read_steps(trajectory, measure), read_modes(trajectory, measure)

        assert one is not None
        assert one.ranks == pytest.approx(expected[:1], abs=1e-6)
        assert all_modes is None or all_modes.ranks == pytest.approx(expected, abs=1e-6)


@PROPERTY
@given(seed=SEEDS, steps=st.integers(3, 40))
def test_folded_and_token_ranks_are_those_of_a_full_svd(seed: int, steps: int) -> None:
    states = draw_states(np.random.default_rng(seed), steps)
    rows = Normaliser().tokens(list(states[:, 0]))
    for measure in MEASURES:
        folded, tokens = (
            by_fold(states, Normaliser(), measure),
            by_tokens(states, Normaliser(), measure),
        )

        assert folded is not None
        assert tokens is not None
        expected = [measure(by_svd(rows.reshape(-1, 4, 6), mode)) for mode in range(3)]
        assert folded.ranks == pytest.approx(expected, abs=1e-6)
        assert tokens.ranks == pytest.approx((measure(by_svd(rows, 0)),), abs=1e-6)


# --- helpers ----------------------------------------------------------------------------------


def mean_of(rng: np.random.Generator, layers: int) -> Matrix:
    found: Matrix = rng.uniform(-0.5, 0.5, (layers, WIDTH))
    return found


def assert_same(found: RankReading | None, expected: RankReading | None) -> None:
    assert found is not None
    assert expected is not None
    assert found.ranks == pytest.approx(expected.ranks, abs=1e-6)
    assert found.score == pytest.approx(expected.score, abs=1e-6)


def by_svd(tensor: Matrix, mode: int) -> Matrix:
    """Return the squared singular values of a tensor's unfolding, descending."""
    unfolded = np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)
    values: Matrix = np.linalg.svd(unfolded, compute_uv=False).astype(np.float64)
    return values**2
