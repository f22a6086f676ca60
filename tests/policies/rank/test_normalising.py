"""States before their rank is taken: RMS, calibration mean, and what cannot be used."""

import math
from array import array

import numpy as np
import pytest

from collab.errors import ConfigError
from collab_policies.rank.normalising import Normaliser, State, calibration_means


def test_a_state_is_divided_by_its_root_mean_square() -> None:
    # The mean of 9 and 16 is 12.5.
    expected = [3 / math.sqrt(12.5), 4 / math.sqrt(12.5)]

    found = Normaliser().step([[3.0, 4.0]])

    assert found is not None
    assert found[0].tolist() == pytest.approx(expected, rel=1e-15)


def test_each_layers_own_mean_is_subtracted_behind_that() -> None:
    normaliser = Normaliser([[0.5, 0.5], [0.0, -1.0]])

    found = normaliser.step([[2.0, 2.0], [-7.0, 7.0]])

    assert found is not None
    assert found.tolist() == [[0.5, 0.5], [-1.0, 2.0]]


@pytest.mark.parametrize(
    "state",
    [
        array("f", [1.0, -1.0]),
        [1.0, -1.0],
        np.array([1.0, -1.0], dtype=np.float32),
        np.array([1.0, -1.0]),
    ],
)
def test_a_state_may_be_of_any_kind_that_backends_hand_over(state: State) -> None:
    found = Normaliser().step([state])

    assert found is not None
    assert found.dtype == np.float64
    assert found.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("spoilt", [[0.0, 0.0], [math.nan, 1.0], [1.0, math.inf], [-math.inf, 0.0]])
def test_a_step_with_a_state_that_has_no_direction_is_unusable(spoilt: list[float]) -> None:
    normaliser = Normaliser()

    assert normaliser.step([spoilt]) is None
    assert normaliser.step([[1.0, 2.0], spoilt]) is None


def test_of_tokens_only_the_unusable_ones_are_left_out() -> None:
    found = Normaliser([[0.5, 0.0]]).tokens([[3.0, 3.0], [0.0, 0.0], [math.nan, 1.0], [2.0, -2.0]])

    assert found.tolist() == [[0.5, 1.0], [0.5, -1.0]]
    assert Normaliser().tokens([]).shape == (0, 0)
    assert Normaliser().tokens([[0.0, 0.0]]).shape == (0, 2)


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e308])
def test_a_state_of_any_size_is_normalised_alike(size: float) -> None:
    found = Normaliser().step([[size, -size]])

    assert found is not None
    assert found[0].tolist() == pytest.approx([1.0, -1.0], rel=1e-12)


def test_the_given_states_are_not_written_to() -> None:
    state = np.array([2.0, 2.0])

    Normaliser([[0.5, 0.5]]).step([state])

    assert state.tolist() == [2.0, 2.0]


def test_means_cannot_be_written_to_and_are_copied() -> None:
    given = np.array([[0.5, 0.5]])
    normaliser = Normaliser(given)
    given[:] = 0.0

    assert normaliser.means is not None
    assert normaliser.means.tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="read-only"):
        normaliser.means[0, 0] = 1.0


def test_calibration_means_are_those_of_normalised_states_of_usable_steps() -> None:
    steps = [
        [[2.0, 2.0], [5.0, -5.0]],
        [[0.1, -0.1], [3.0, 3.0]],
        [[1.0, 1.0], [0.0, 0.0]],
        [[1.0, math.nan], [1.0, 1.0]],
    ]

    means = calibration_means(iter(steps))

    # Layer 0: (1, 1) and (1, -1); layer 1: (1, -1) and (1, 1).
    assert means.tolist() == [[1.0, 0.0], [1.0, 0.0]]


# --- what is refused ----------------------------------------------------------------------------


def test_means_of_states_that_were_not_normalised_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"root mean square 7.*make it with calibration_means"):
        Normaliser([[7.0, 7.0]])


def test_means_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="NaN or infinity; calibrate again"):
        Normaliser([[0.0, math.nan]])


def test_calibrating_on_nothing_usable_is_refused() -> None:
    with pytest.raises(ConfigError, match="no step has usable hidden states"):
        calibration_means([[[0.0, 0.0]]])


def test_calibrating_on_several_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"states \(2, 2\) among others of \(1, 2\)"):
        calibration_means([[[1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])


def test_states_that_do_not_fit_are_refused() -> None:
    normaliser = Normaliser([[0.5, 0.5], [0.5, 0.5]])

    with pytest.raises(ValueError, match="1 states, but means of 2 layers"):
        normaliser.step([[1.0, 1.0]])
    with pytest.raises(ValueError, match="states are 3 wide, the calibration means 2"):
        normaliser.step([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match="tokens are of one layer; there are means of 2"):
        normaliser.tokens([[1.0, 1.0]])
    with pytest.raises(ValueError, match="states are 3 wide, the calibration means 2"):
        Normaliser([[0.5, 0.5]]).tokens([[1.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match=r"2 states of the widths \[1, 2\]; expected one width"):
        Normaliser().step([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"1 states of the widths \[0\]"):
        Normaliser().step([[]])
