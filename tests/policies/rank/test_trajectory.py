"""The window of steps and its running Gram matrix."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trajectories import PROPERTY, draw_states, pushed

from collab_policies.rank.normalising import Matrix, Normaliser
from collab_policies.rank.trajectory import Trajectory, TrajectoryMark


def fresh_gram(states: list[Matrix]) -> Matrix:
    """Return the Gram matrix of normalised steps `(L, d)`, computed anew."""
    flat = np.array([state.ravel() for state in states]).reshape(len(states), -1 if states else 0)
    gram: Matrix = flat @ flat.T
    return gram


def normalised(step: Matrix) -> Matrix:
    rms = np.sqrt((step**2).mean(axis=1, keepdims=True))
    found: Matrix = step / rms
    return found


ACTIONS = st.lists(
    st.sampled_from(["push", "push", "push", "spoilt", "mark", "rollback", "fork"]), max_size=40
)


@PROPERTY
@given(actions=ACTIONS, window=st.integers(2, 5), layers=st.integers(1, 3), seed=st.integers(0))
def test_the_running_gram_matrix_is_a_fresh_one_after_any_pushes_and_rollbacks(
    actions: list[str], window: int, layers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    trajectory, held = Trajectory(window, layers), list[Matrix]()
    marks: list[tuple[TrajectoryMark, list[Matrix]]] = [(trajectory.mark(), [])]
    for action in actions:
        match action:
            case "push":
                step = rng.standard_normal((layers, 6))
                assert trajectory.push(list(step))
                held = [*held, normalised(step)][-window:]
            case "spoilt":
                assert not trajectory.push([[0.0] * 6] * layers)
            case "mark":
                marks.append((trajectory.mark(), held))
            case "rollback":
                mark, held = marks[int(rng.integers(len(marks)))]
                trajectory.rollback(mark)
            case "fork":
                trajectory = trajectory.fork()

        assert len(trajectory) == len(held)
        assert np.allclose(trajectory.gram, fresh_gram(held), rtol=0, atol=1e-9)
        assert trajectory.tensor.shape[0] == len(held)
        assert not held or np.allclose(trajectory.tensor, np.array(held), rtol=0, atol=1e-12)


def test_only_the_last_steps_are_held() -> None:
    states = draw_states(np.random.default_rng(0), 5, layers=2)

    trajectory = pushed(states, window=3)

    assert len(trajectory) == 3
    assert np.allclose(trajectory.tensor, [normalised(step) for step in states[2:]])


def test_a_draft_that_is_redone_replaces_the_step_also_where_it_pushed_one_out() -> None:
    states = draw_states(np.random.default_rng(0), 6)
    trajectory = pushed(states[:4], window=3)

    before = trajectory.mark()
    trajectory.push(list(states[4]))
    trajectory.rollback(before)
    trajectory.push(list(states[5]))

    assert np.array_equal(trajectory.gram, pushed(states[[0, 1, 2, 3, 5]], window=3).gram)


def test_a_fork_goes_its_own_way_and_takes_the_marks_of_its_origin() -> None:
    states = draw_states(np.random.default_rng(0), 4)
    trajectory = pushed(states[:2], window=4)
    mark = trajectory.mark()

    twin = trajectory.fork()
    twin.push(list(states[2]))
    trajectory.push(list(states[3]))

    assert np.array_equal(twin.gram, pushed(states[:3], window=4).gram)
    assert np.array_equal(trajectory.gram, pushed(states[[0, 1, 3]], window=4).gram)
    twin.rollback(mark)
    assert np.array_equal(twin.gram, pushed(states[:2]).gram)


def test_the_gram_matrix_of_steps_is_the_trace_over_layers_of_that_of_states() -> None:
    trajectory = pushed(draw_states(np.random.default_rng(0), 4, layers=3))

    by_state = trajectory.block_gram.reshape(4, 3, 4, 3)

    assert np.allclose(by_state.trace(axis1=1, axis2=3), trajectory.gram)


def test_a_step_with_an_unusable_state_leaves_everything_as_it_was() -> None:
    trajectory = pushed(draw_states(np.random.default_rng(0), 3, layers=2, width=4))
    before = trajectory.gram

    added = [
        trajectory.push([[1.0, 2.0, 3.0, 4.0], spoilt])
        for spoilt in ([0.0] * 4, [math.nan, 1.0, 1.0, 1.0], [math.inf, 1.0, 1.0, 1.0])
    ]

    assert added == [False, False, False]
    assert np.array_equal(trajectory.gram, before)


def test_without_steps_everything_is_empty() -> None:
    trajectory = Trajectory(4, 2)

    assert (len(trajectory), trajectory.width) == (0, 0)
    assert trajectory.gram.shape == trajectory.block_gram.shape == (0, 0)
    assert trajectory.tensor.shape == (0, 2, 0)


def test_what_does_not_fit_is_refused() -> None:
    trajectory = pushed([[[1.0, 2.0]]])

    with pytest.raises(ValueError, match="2 states for a step, this trajectory has 1"):
        trajectory.push([[1.0, 2.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="states are 3 wide, those before 2"):
        trajectory.push([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="not of this trajectory"):
        trajectory.rollback(pushed([[[1.0, 2.0]]]).mark())
    with pytest.raises(ValueError, match="window of 1 steps with 1 layers; at least 2 steps"):
        Trajectory(1)
    with pytest.raises(ValueError, match="window of 8 steps with 0 layers"):
        Trajectory(8, 0)
    with pytest.raises(ValueError, match="2 layers, but means of 1"):
        Trajectory(8, 2, Normaliser([[0.5, 0.5]]))
