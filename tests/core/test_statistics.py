"""Intervals around proportions, and the comparison of two runs."""

import pytest

from collab.statistics import mcnemar_exact, wilson_interval


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


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    [
        # One of six: 2 * (1 + 6) / 64.
        (1, 5, 0.21875),
        # None of ten: 2 / 1024.
        (10, 0, 0.001953125),
        # Two of ten: 2 * (1 + 10 + 45) / 1024.
        (2, 8, 0.109375),
        (7, 7, 1.0),
        (0, 1, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_exact_mcnemar_test_doubles_the_smaller_tail(
    only_first: int, only_second: int, expected: float
) -> None:
    assert mcnemar_exact(only_first, only_second) == expected


def test_the_mcnemar_test_has_no_first_and_second() -> None:
    assert mcnemar_exact(3, 14) == mcnemar_exact(14, 3)


def test_the_published_example_of_the_mcnemar_test() -> None:
    # Agresti, Categorical Data Analysis: 86 and 150 of the discordant pairs, z = 4.17, p = 3e-5.
    assert mcnemar_exact(86, 150) == pytest.approx(3.7e-5, abs=1e-5)


def test_the_mcnemar_test_stays_exact_beyond_the_range_of_floats() -> None:
    # Half of 4,000 fair coins, give or take none: the smaller tail has more than half.
    assert mcnemar_exact(2_000, 2_000) == 1.0
    assert 0.0 < mcnemar_exact(1_900, 2_100) < 0.002


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 and 2 problems: a count is at least 0"):
        mcnemar_exact(-1, 2)
