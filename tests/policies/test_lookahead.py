"""Lookahead Reasoning: chains of steps, the mentor's in parallel, the agreeing beginning stands."""

import pytest
from support.desks import solve_by
from support.plugins import spans

from collab import (
    Budget,
    Controller,
    Pair,
    Result,
    StepUnit,
    TokenUnit,
    Unit,
)
from collab.errors import CapabilityError
from collab.testing import FakeBackend, FakeModel, check_recipe, check_strategy
from collab_policies.lookahead import Lookahead, LookaheadRecipe

STEP = StepUnit()


async def look_ahead(
    generator: FakeModel,
    mentor: FakeModel,
    strategy: Lookahead,
    *,
    unit: Unit = STEP,
    budget: Budget | None = None,
) -> Result:
    return await solve_by(strategy, generator=generator, mentor=mentor, unit=unit, budget=budget)


async def test_it_is_a_strategy_and_a_recipe() -> None:
    await check_strategy(Lookahead())
    check_recipe(LookaheadRecipe())


async def test_steps_stand_up_to_the_first_that_says_something_else() -> None:
    generator = FakeModel("a\n\nb\n\nc\n\nd\n\ne")
    mentor = FakeModel("a\n\nb\n\nX\n\nd\n\ne")

    result = await look_ahead(generator, mentor, Lookahead(depth=4, judge=None))

    assert result.raise_for_error().text == "a\n\nb\n\nX\n\nd\n\ne"
    assert [author for author, _ in spans(result)] == [
        "generator",
        "mentor",
        "generator",
        "generator",
    ]
    assert result.reason == "eos"


async def test_what_was_begun_after_a_disagreement_is_cancelled_and_counted() -> None:
    generator = FakeModel("a\n\nb\n\nc\n\nd")
    mentor = FakeModel("X\n\nb\n\nc\n\nd", stuck_at=(1, 2, 3))

    result = await look_ahead(
        generator, mentor, Lookahead(depth=4, judge=None), budget=Budget(max_calls=9)
    )

    first = [call for call in result.calls if call.role == "mentor"][:4]
    assert [call.outcome for call in first] == ["ok", "cancelled", "cancelled", "cancelled"]


async def test_a_judge_can_find_two_steps_the_same() -> None:
    generator, mentor = FakeModel("a\n\nb"), FakeModel("A\n\nb", labels={"A": 0.8, "B": 0.2})

    result = await look_ahead(generator, mentor, Lookahead(depth=2))

    assert (result.text, result.mentor_share) == ("a\n\nb", 0)


async def test_a_judge_can_find_them_different() -> None:
    generator, mentor = FakeModel("a\n\nb"), FakeModel("A\n\nb", labels={"A": 0.4, "B": 0.6})

    result = await look_ahead(generator, mentor, Lookahead(depth=2))

    assert result.text == "A\n\nb"


async def test_a_step_that_ends_the_text_agrees_only_with_one_that_ends_it() -> None:
    generator, mentor = FakeModel("a\n\nb"), FakeModel("a\n\nb\n\nc")

    result = await look_ahead(generator, mentor, Lookahead(depth=3, judge=None))

    assert (result.text, result.reason) == ("a\n\nb\n\nc", "eos")


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
async def test_without_a_judge_the_text_is_the_mentors_own(depth: int) -> None:
    ours = "one two three four five six seven eight nine ten"
    theirs = "one two 3 four five 6 7 eight nine ten eleven twelve"

    result = await look_ahead(
        FakeModel(ours), FakeModel(theirs), Lookahead(depth=depth, judge=None), unit=TokenUnit()
    )

    assert result.raise_for_error().text == theirs


async def test_a_generator_that_repeats_itself_ends_the_text_where_the_mentor_does_too() -> None:
    loop = FakeModel("Same.\n\nSame.\n\nSame.\n\nEnd.")
    recipe = LookaheadRecipe(judge=None, repeat_limit=2)

    async with Pair(generator=FakeBackend(model=loop), mentor=FakeBackend(model=loop)) as pair:
        result = await pair.solve("q", recipe=recipe)

    assert (result.text, result.reason, result.error) == ("Same.\n\n", "repeat", None)


async def test_a_mentor_leads_out_of_a_loop() -> None:
    loop = FakeModel("Same.\n\nSame.\n\nSame.\n\nEnd.")
    other = FakeModel("Same.\n\nNew.\n\nSame.\n\nEnd.")
    recipe = LookaheadRecipe(judge=None, repeat_limit=2)

    async with Pair(generator=FakeBackend(model=loop), mentor=FakeBackend(model=other)) as pair:
        result = await pair.solve("q", recipe=recipe)

    assert (result.text, result.reason) == ("Same.\n\nNew.\n\nSame.\n\nEnd.", "eos")


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_stop_string_across_two_steps_is_cut_off(depth: int) -> None:
    same = FakeModel("Aa.\n\nBb.\n\nCc.\n\nDd.")
    recipe = LookaheadRecipe(depth=depth, judge=None, stop_strings=(".\n\nCc",))

    async with Pair(generator=FakeBackend(model=same), mentor=FakeBackend(model=same)) as pair:
        result = await pair.solve("q", recipe=recipe)

    assert (result.text, result.reason) == ("Aa.\n\nBb", "stop_string")


async def test_nothing_is_decoded_twice_by_the_generator() -> None:
    generator = FakeModel("a\n\nb\n\nc\n\nd")
    mentor = FakeModel("a\n\nb\n\nc\n\nd")

    result = await look_ahead(generator, mentor, Lookahead(depth=4, judge=None))

    # 7 pieces and the end of the text; every branch replays them at no cost.
    assert (result.text, generator.decoded) == ("a\n\nb\n\nc\n\nd", 8)


async def test_the_ledger_sums_to_what_the_models_counted() -> None:
    generator, mentor = FakeModel("a\n\nb\n\nc\n\nd\n\ne"), FakeModel("a\n\nB\n\nc\n\nD\n\ne")

    result = await look_ahead(generator, mentor, Lookahead(depth=3, judge=None))

    for role, model in (("generator", generator), ("mentor", mentor)):
        assert result.usage[role].completion_tokens == model.decoded
        assert result.usage[role].calls == model.calls
        written = sum(span.tokens for span in result.spans if span.author == role)
        assert result.usage[role].kept_tokens == written


async def test_a_spent_budget_ends_it_cleanly() -> None:
    result = await look_ahead(
        FakeModel("a\n\nb\n\nc\n\nd"),
        FakeModel("x\n\ny\n\nz"),
        Lookahead(depth=2, judge=None),
        budget=Budget(max_mentor_tokens=3),
    )

    assert (str(result.ending), result.error) == ("budget: max_mentor_tokens", None)


async def test_it_needs_a_mentor() -> None:
    alone = Controller(generator=FakeBackend(), recipe=LookaheadRecipe())

    with pytest.raises(CapabilityError, match="Lookahead needs a participant 'mentor'"):
        async with alone:
            pass
