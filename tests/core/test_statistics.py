"""Intervals around proportions."""

import pytest

from collab.statistics import wilson_interval


def test_the_wilson_interval_of_half_of_ten() -> None:
    low, high = wilson_interval(5, 10)

    # z = 1.95996, z*z = 3.84146; scale 1.384146; centre 0.5;
    # half = z * sqrt(0.25 / 10 + 3.84146 / 400) / scale = 0.26341.
    assert low == pytest.approx(0.23659, abs=1e-5)
    assert high == pytest.approx(0.76341, abs=1e-5)


def test_no_successes_still_leave_some_room_above() -> None:
    low, high = wilson_interval(0, 10)

    # (z*z / 10) / (1 + z*z / 10) = 0.384146 / 1.384146.
    assert low == 0.0
    assert high == pytest.approx(0.27753, abs=1e-5)


def test_without_trials_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
