"""Two ways timed in turn: the speed-up, its range, and how noisy the machine was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collab.examining.timings import Timing, Turn, noise, speed_up, speed_up_range


def turn(alone_s: float, recipe_s: float, *, tokens: int = 10) -> Turn:
    return Turn(Timing(alone_s, tokens), Timing(recipe_s, tokens))


def test_the_speed_up_is_a_ratio_of_times_per_token() -> None:
    turns = [Turn(Timing(2.0, 10), Timing(1.0, 20)), Turn(Timing(4.0, 20), Timing(1.0, 20))]

    # 6 s of 30 tokens against 2 s of 40: 0.2 s a token against 0.05.
    assert speed_up(turns) == pytest.approx(4)


def test_answers_without_a_token_give_no_speed_up() -> None:
    assert speed_up([Turn(Timing(1.0, 0), Timing(1.0, 0))]) == 0.0


def test_equal_rounds_of_equal_problems_leave_no_range() -> None:
    assert speed_up_range([[turn(2.0, 1.0)] * 2] * 8) == pytest.approx((2, 2))


def test_a_noisy_machine_gives_a_range_that_says_so() -> None:
    # What is truly the same: now the one way, now the other was held up.
    problems = [[turn(2.0, 1.0), turn(1.0, 2.0)]] * 8

    low, high = speed_up_range(problems)

    assert low < 1 < high


def test_both_ways_held_up_together_do_not_widen_the_range() -> None:
    problems = [[turn(2.0, 1.0), turn(6.0, 3.0)]] * 8

    assert speed_up_range(problems) == pytest.approx((2, 2))
    assert noise(problems) == pytest.approx(3)


def test_the_noise_is_that_of_the_median_answer() -> None:
    # Slowest over fastest: 1 and 1.5; 1 and 3; the third was not repeated.
    problems = [[turn(1, 1), turn(1, 1.5)], [turn(1, 1), turn(1, 3)], [turn(1, 9)]]

    assert noise(problems) == pytest.approx(1.25)


def test_nothing_repeated_is_no_noise() -> None:
    assert noise([[turn(1, 2)]]) == 1.0


seconds = st.floats(0.01, 100)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.builds(turn, seconds, seconds), min_size=1), min_size=1, max_size=5))
def test_the_range_lies_between_the_extreme_ratios(problems: list[list[Turn]]) -> None:
    low, high = speed_up_range(problems)

    ratios = [speed_up([one]) for turns in problems for one in turns]
    assert min(ratios) * 0.999 <= low <= high <= max(ratios) * 1.001
