import pytest
from pydantic import ValidationError

from collab.limits import Budget
from collab.usage import Call, Ledger, Price, Purpose, Usage, usage_by_role


def call(
    index: int, role: str = "generator", purpose: Purpose = "draft", completion: int = 10
) -> Call:
    return Call(index, role, "m", purpose, prompt_tokens=7, completion_tokens=completion)


def test_the_usage_is_the_sum_of_the_calls() -> None:
    calls = [call(0), call(1, "mentor", "consult", 16), call(2)]

    usage = usage_by_role(calls)

    assert usage["generator"].completion_tokens == 20
    assert usage["mentor"] == Usage(
        calls=1, prompt_tokens=7, completion_tokens=16, discarded_tokens=16
    )


def test_a_token_that_was_not_kept_was_discarded() -> None:
    ledger = Ledger()
    ledger.add(call(ledger.begin(), completion=3))

    (settled,) = ledger.settled([0])

    assert (settled.kept_tokens, settled.discarded_tokens) == (1, 2)


def test_a_judgement_discards_nothing() -> None:
    assert call(0, purpose="judge", completion=1).discarded_tokens == 0


def test_calls_are_listed_in_the_order_in_which_they_began() -> None:
    ledger = Ledger()
    first, second = ledger.begin(), ledger.begin()

    ledger.add(call(second))
    ledger.add(call(first))

    assert [c.index for c in ledger.calls] == [0, 1]


def test_cached_tokens_have_their_own_price() -> None:
    price = Price(prompt=2.0, cached=0.5, completion=8.0)

    # 600 fresh at 2, 400 cached at 0.5, 100 written at 8, per million
    assert price.of(prompt=1000, cached=400, completion=100) == (1200 + 200 + 800) / 1e6


def test_cached_tokens_cost_as_much_as_the_others_unless_their_price_is_given() -> None:
    price = Price(prompt=2.0, completion=8.0)

    assert price.of(prompt=1000, cached=400, completion=0) == 2000 / 1e6
    assert Price(prompt=2.0, cached=0, completion=8.0).of(
        prompt=1000, cached=400, completion=0
    ) == (600 * 2.0 / 1e6)


@pytest.mark.parametrize("value", [True, -1, "much", float("inf"), float("nan"), None])
def test_what_is_no_amount_of_money_is_no_price(value: object) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({"prompt": value, "completion": 1})


def test_prompt_and_completion_fall_into_parts() -> None:
    counts = {
        "prompt_tokens": 10,
        "cached_tokens": 7,
        "completion_tokens": 6,
        "reasoning_tokens": 2,
    }
    one = Call(0, "mentor", "m", "consult", **counts)  # type: ignore[arg-type]  # all are counts
    both = Usage.of([one, one])

    assert (one.fresh_tokens, one.visible_tokens) == (3, 4)
    assert (both.fresh_tokens, both.visible_tokens, both.reasoning_tokens) == (6, 8, 4)


def test_a_budget_names_the_bound_that_is_reached() -> None:
    usage = {"generator": Usage(completion_tokens=90), "mentor": Usage(completion_tokens=10)}

    assert Budget(max_tokens=100).spent(usage) == "max_tokens"
    assert Budget(max_tokens=101).spent(usage) == ""


def test_the_mentors_bound_does_not_stop_the_generator() -> None:
    usage = {"mentor": Usage(completion_tokens=10)}
    budget = Budget(max_mentor_tokens=10)

    assert budget.spent(usage, next_role="generator") == ""
    assert budget.spent(usage, next_role="mentor") == "max_mentor_tokens"
