"""When collaboration pays: exact arithmetic on assumed and on scripted times."""

import pytest

from collab.examining.feasibility import Comparison, Forecast, Load, Speed, fit_speed

N = 30
T_S, T_L = 0.005, 0.025


def decided_before(share: float, overhead_s: float) -> Forecast:
    """A probed token decides who writes a step; a generator's step is read again, one pass."""
    plan = Comparison(
        alone=Load(0, N),
        drafting=Load(1 - share, 1 + (1 - share) * N),
        consulting=Load(share, share * N),
    )
    return Forecast(generator=Speed(T_S, T_S), mentor=Speed(overhead_s, T_L), plan=plan)


def judged_after(share: float, overhead_s: float) -> Forecast:
    """Every step is drafted and judged by the mentor, which costs a call of two tokens' time."""
    plan = Comparison(
        alone=Load(0, N),
        drafting=Load(1, N),
        consulting=Load(share, share * N),
        judging_s=overhead_s + 2 * T_L,
    )
    return Forecast(generator=Speed(T_S, T_S), mentor=Speed(overhead_s, T_L), plan=plan)


def by_tokens(share: float, overhead_s: float) -> Forecast:
    """Every token is drafted, and a router of 0.1 ms sends some to the mentor."""
    plan = Comparison(
        alone=Load(0, 1), drafting=Load(0, 1), consulting=Load(share, share), judging_s=1e-4
    )
    return Forecast(generator=Speed(0, T_S), mentor=Speed(overhead_s, T_L), plan=plan)


# Steps of 30 tokens, 5 ms a token against 25 ms; 750 ms for the mentor alone. The published tables
# do not say what a step's fixed costs at the generator are: with one pass (5 ms) for each call
# that drafts, and 0.1 ms for a token's router, the formula gives every figure as printed.
# Such as decided before, share 0.2, 5 ms: 5 + 0.8 * (5 + 150) + 0.2 * (5 + 750) = 280; 2.68.
@pytest.mark.parametrize(
    ("shape", "share", "overhead_ms", "printed"),
    [
        (decided_before, 0.2, 5, 2.68),
        (decided_before, 0.2, 100, 2.51),
        (decided_before, 0.4, 5, 1.88),
        (decided_before, 0.4, 100, 1.71),
        (decided_before, 0.6, 5, 1.44),
        (decided_before, 0.6, 100, 1.30),
        (judged_after, 0.2, 5, 2.08),
        (judged_after, 0.2, 100, 1.58),
        (judged_after, 0.4, 5, 1.46),
        (judged_after, 0.4, 100, 1.16),
        (judged_after, 0.6, 5, 1.13),
        (judged_after, 0.6, 100, 0.92),
        (by_tokens, 0.05, 1, 3.91),
        (by_tokens, 0.05, 10, 3.65),
        (by_tokens, 0.05, 100, 2.20),
        (by_tokens, 0.128, 1, 2.97),
        (by_tokens, 0.128, 10, 2.61),
        (by_tokens, 0.128, 100, 1.18),
        (by_tokens, 0.3, 1, 1.94),
        (by_tokens, 0.3, 10, 1.60),
        (by_tokens, 0.3, 100, 0.59),
    ],
)
def test_known_speed_ups_come_out_as_printed(
    shape: object, share: float, overhead_ms: float, printed: float
) -> None:
    assert callable(shape)

    speed_up = shape(share, overhead_ms / 1000).speed_up

    # 1.875 is printed as 1.88.
    assert abs(speed_up - printed) <= 0.005 + 1e-9


def test_the_fixed_cost_of_calls_is_blamed_where_it_eats_the_gain() -> None:
    forecast = by_tokens(0.3, 0.1)

    # 5 + 0.1 + 0.3 * (100 + 25) = 42.6 ms, of which 30 are fixed; without them 12.6 ms.
    # It breaks even where 12.6 + 100 x = 25: x = 0.124.
    (warning,) = forecast.warnings
    assert forecast.culprit == "mentor calls"
    assert "1.7 times as long as the mentor alone" in warning
    assert "the fixed cost of the calls to the mentor (70% of the time): ask less often" in warning
    assert "break even at 0.12 calls per answer token instead of 0.3" in warning


def test_judging_is_blamed_where_the_rest_would_pay() -> None:
    plan = Comparison(
        alone=Load(0, 1), drafting=Load(0, 1), consulting=Load(0.1, 0.1), judging_s=0.03
    )
    forecast = Forecast(generator=Speed(0, T_S), mentor=Speed(0.001, T_L), plan=plan)

    assert forecast.culprit == "judging"
    assert "a verifier that asks no model" in forecast.warnings[0]


def test_looking_ahead_costs_only_what_outlasts_the_mentor() -> None:
    plan = Comparison(
        alone=Load(0, 10), drafting=Load(0, 4), consulting=Load(1, 6), looking_ahead=Load(1, 40)
    )
    forecast = Forecast(generator=Speed(0.01, T_S), mentor=Speed(0.04, T_L), plan=plan)

    # 40 * 5 + 10 = 210 ms beside 40 + 6 * 25 = 190 ms.
    assert forecast.seconds_by_term["looking ahead"] == pytest.approx(0.02)
    assert forecast.seconds == pytest.approx(0.02 + 0.19 + 0.02)


def test_a_mentor_about_as_fast_is_told_in_plain_words() -> None:
    plan = Comparison(alone=Load(0, 1), drafting=Load(0, 1), consulting=Load(0.2, 0.2))
    forecast = Forecast(generator=Speed(0, 0.02), mentor=Speed(0.001, T_L), plan=plan)

    told = " ".join(forecast.warnings)
    assert "only 1.2 times the generator's time per token (25 ms against 20 ms)" in told
    assert "take a smaller or faster generator, or a larger mentor" in told


def test_a_higher_cost_is_told_with_its_ratio() -> None:
    plan = Comparison(alone=Load(0, 1), drafting=Load(0, 1), consulting=Load(0.1, 0.1))
    forecast = Forecast(
        generator=Speed(0, T_S),
        mentor=Speed(0, T_L),
        plan=plan,
        cost_usd=3e-6,
        alone_cost_usd=2e-6,
    )

    assert forecast.cost_ratio == pytest.approx(1.5)
    assert "cost 1.5 times as much as the mentor alone" in forecast.warnings[0]


def test_a_pair_that_pays_needs_no_warning() -> None:
    assert decided_before(0.2, 0.005).warnings == []


def test_a_fit_tells_a_calls_fixed_time_from_its_tokens() -> None:
    calls = [(n, 0.02 + 0.005 * n) for n in (1, 4, 16, 16, 64)]

    fit = fit_speed([*calls, (8, 9.0)])  # one slow call changes nothing

    assert fit is not None
    assert fit.is_separated
    assert fit.speed.call_s == pytest.approx(0.02)
    assert fit.speed.token_s == pytest.approx(0.005)
    assert fit.speed.tokens_per_s == pytest.approx(200)


def test_calls_of_one_length_give_the_time_of_all_of_it() -> None:
    fit = fit_speed([(4, 0.1), (4, 0.3)])

    assert fit is not None
    assert not fit.is_separated
    assert fit.speed.call_s == 0.0
    assert fit.speed.token_s == pytest.approx(0.05)


def test_no_call_takes_less_than_nothing() -> None:
    fit = fit_speed([(1, 0.001), (10, 0.1), (20, 0.21)])

    assert fit is not None
    assert fit.speed.call_s == 0.0


def test_without_calls_there_is_no_fit() -> None:
    assert fit_speed([(0, 1.0)]) is None
