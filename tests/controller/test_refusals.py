"""What a desk refuses, how it bounds a strategy, and what a strategy leaves open."""

from contextlib import suppress

import anyio
import pytest
from support.desks import OTHER, OWN, Does, Work, at_desk

from collab import (
    Budget,
    Controller,
    Desk,
    Ending,
    Mark,
    Recipe,
    Settled,
    TokenUnit,
    Until,
    Verdict,
)
from collab.errors import ConfigError
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always


async def ends_without_text(desk: Desk) -> object:
    await desk.write("generator")
    return None


async def returns_an_unknown_reason(desk: Desk) -> object:
    await desk.commit(await desk.write("generator"))
    return Ending("nonsense")  # type: ignore[arg-type]


async def injects_after_the_end(desk: Desk) -> None:
    await desk.commit(await desk.write("generator"))
    desk.finish("done")
    await desk.inject("more")


async def injects_half_a_character(desk: Desk) -> None:
    await desk.inject("\ud800")


async def injects_for_a_stranger(desk: Desk) -> None:
    await desk.inject("x", visible_to=frozenset({"ghost"}))


async def asks_for_no_alternative(desk: Desk) -> object:
    return await desk.write_many("generator", 0)


async def cuts_beyond(desk: Desk) -> object:
    return await desk.commit(await desk.write("generator"), cuts=[9])


async def stops_everywhere(desk: Desk) -> object:
    return await desk.write("generator", Until(2, stop_strings=("",)))


async def uses_an_adopted_branch(desk: Desk) -> object:
    async with desk.branch() as branch:
        await branch.commit(await branch.write("generator"))
        await desk.adopt(branch)
        return await branch.write("generator")


async def returns_a_text(desk: Desk) -> object:
    await desk.commit(await desk.write("generator"))
    return "done"


async def raises(desk: Desk) -> object:
    raise KeyError("mine")


async def commits_twice(desk: Desk) -> object:
    written = await desk.write("generator")
    await desk.commit(written)
    return await desk.commit(written)


async def commits_after_the_text_changed(desk: Desk) -> object:
    written = await desk.write("generator", Until(3))
    await desk.commit(await desk.write("mentor"))
    return await desk.commit(written)


async def commits_too_many(desk: Desk) -> object:
    return await desk.commit(await desk.write("generator"), upto=2)


async def writes_after_the_end(desk: Desk) -> object:
    await desk.commit(await desk.write("generator", Until(20)))
    return await desk.write("mentor")


async def lets_a_judge_write(desk: Desk) -> object:
    return await desk.write("critic")


async def asks_a_stranger(desk: Desk) -> object:
    return await desk.judge("oracle", "?", ("Y", "N"))


async def takes_back(desk: Desk) -> None:
    await desk.commit(await desk.write("generator"))
    await desk.roll_back(Mark(0))


async def adopts_late(desk: Desk) -> object:
    async with desk.branch() as branch:
        await branch.commit(await branch.write("generator"))
        await desk.commit(await desk.write("mentor"))
        return await desk.adopt(branch)


async def adopts_a_branch_that_was_left(desk: Desk) -> object:
    async with desk.branch() as branch:
        await branch.commit(await branch.write("generator"))
    return await desk.adopt(branch)


async def adopts_a_branch_of_a_branch(desk: Desk) -> object:
    async with desk.branch() as branch, branch.branch() as twig:
        await twig.commit(await twig.write("generator"))
        return await desk.adopt(twig)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (ends_without_text, "returned without having committed any text; commit a proposal"),
        (returns_an_unknown_reason, "reason='nonsense'.*; expected an Ending with a known reason"),
        (injects_after_the_end, r"the text is over \(strategy: done\); nothing more can be"),
        (injects_half_a_character, "the text to inject contains half a character"),
        (injects_for_a_stranger, "no participant 'ghost'; there are: generator, mentor, critic"),
        (asks_for_no_alternative, "0 alternatives were asked of the generator; ask for at least 1"),
        (cuts_beyond, r"units cannot end at \[9\]; give how many tokens .* up to 1"),
        (stops_everywhere, "an empty stop string ends every text at once"),
        (uses_an_adopted_branch, r"the text is over \(strategy: the branch was adopted\)"),
        (returns_a_text, "returned 'done'; expected an Ending with a known reason, or None"),
        (raises, r"strategy 'Does' raised in run\(\): KeyError: 'mine'"),
        (commits_twice, "'a' by the generator cannot be committed: it was not written at the end"),
        (commits_after_the_text_changed, "'a' by the generator cannot be committed"),
        (commits_too_many, "2 tokens of a proposal by the generator were to be .* it has 1"),
        (writes_after_the_end, r"the text is over \(eos\); nothing more can be written"),
        (lets_a_judge_write, "the judge 'critic' was asked to write; judges never write"),
        (asks_a_stranger, "no participant 'oracle'; there are: generator, mentor, critic"),
        (takes_back, "'Does' takes text back without saying so; give it a property `takes_back`"),
        (adopts_late, "the text has changed since the branch was made"),
        (adopts_a_branch_that_was_left, "one that was left or adopted already, cannot be adopted"),
        (adopts_a_branch_of_a_branch, "a branch of another desk"),
    ],
)
async def test_what_a_strategy_must_not_do_fails_its_problem_and_says_why(
    work: Work, told: str
) -> None:
    result = await at_desk(work)

    with pytest.raises(Exception, match=told):
        result.raise_for_error()


async def test_a_fork_of_another_problem_cannot_be_adopted_nor_its_text_committed() -> None:
    kept: list[Desk] = []
    proposals = []

    async def first(desk: Desk) -> object:
        kept.append(desk)
        proposals.append(await desk.write("mentor"))
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    async def adopts(desk: Desk) -> object:
        return await desk.adopt(kept[0])

    async def commits(desk: Desk) -> object:
        return await desk.commit(proposals[0])

    await at_desk(first)

    assert "a branch of another desk" in str((await at_desk(adopts)).error)
    assert "cannot be committed: it was not written" in str((await at_desk(commits)).error)


async def test_a_desk_is_closed_when_its_problem_is_over() -> None:
    kept: list[Desk] = []

    async def work(desk: Desk) -> object:
        kept.append(desk)
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    await at_desk(work)

    with pytest.raises(Exception, match="the desk is closed: its problem is over"):
        await kept[0].write("generator")


async def test_the_text_cannot_change_under_a_call() -> None:
    generator = FakeModel(OWN, stuck_at=(1,))

    async def work(desk: Desk) -> object:
        written = await desk.write("generator", Until(2))
        async with anyio.create_task_group() as group:
            group.start_soon(desk.judge, "generator", "?", ("Y", "N"))
            await anyio.wait_all_tasks_blocked()
            await desk.commit(written)
        return desk.finish()

    result = await at_desk(work, generator=generator)

    assert "the text changed while the generator was at work on it" in str(result.error)
    assert [call.outcome for call in result.calls] == ["ok", "cancelled"]


async def test_a_branch_at_work_cannot_be_adopted() -> None:
    async def work(desk: Desk) -> object:
        async with desk.branch() as branch, anyio.create_task_group() as group:
            await branch.commit(await branch.write("generator"))
            group.start_soon(branch.write, "mentor")
            await anyio.wait_all_tasks_blocked()
            await desk.adopt(branch)
        return desk.finish()

    result = await at_desk(work, mentor=FakeModel(OTHER, is_stuck=True))

    assert "the text changed while the mentor was at work on it; await its" in str(result.error)


async def test_a_desk_is_closed_when_its_budget_is_spent() -> None:
    kept: list[Desk] = []

    async def work(desk: Desk) -> object:
        kept.append(desk)
        await desk.commit(await desk.write("generator"))
        return await desk.write("mentor")

    result = await at_desk(work, budget=Budget(max_calls=1))

    assert str(result.ending) == "budget: max_calls"
    with pytest.raises(Exception, match="the desk is closed: its problem is over"):
        await kept[0].write("generator")


async def test_a_strategy_that_ignores_every_refusal_does_not_keep_the_event_loop() -> None:
    async def work(desk: Desk) -> object:
        while True:
            with suppress(Exception):
                await desk.write("nobody")

    result = await at_desk(work, budget=Budget(deadline_s=0.05))

    assert str(result.ending) == "budget: deadline_s"


async def test_a_stop_string_across_a_branch_is_cut_off_whole() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator", Until(3)))
        async with desk.branch() as branch:
            await branch.commit(await branch.write("generator", Until(1)))
            await desk.adopt(branch)
        return None

    result = await at_desk(work, stop_strings=("c d",))

    assert (result.text, result.reason) == ("a b ", "stop_string")


async def test_a_hint_within_a_stop_string_leaves_nothing_of_it() -> None:
    async def work(desk: Desk) -> object:
        while desk.ending is None:
            await desk.inject("~hint~", visible_to=frozenset({"mentor"}))
            await desk.commit(await desk.write("generator", Until(1)))
        return None

    result = await at_desk(work, stop_strings=("c d",))

    assert (result.text, result.reason) == ("a b ", "stop_string")
    assert sum(span.text == "~hint~" for span in result.spans) == 4


async def test_what_was_taken_back_is_no_repetition() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        await desk.roll_back(Mark(0))
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    result = await at_desk(work, takes_back=True, repeat_limit=2)

    assert (result.text, result.reason) == ("a", "strategy")


async def test_a_call_left_running_is_found() -> None:
    mentor = FakeModel(OTHER, is_stuck=True)
    async with anyio.create_task_group() as outside:

        async def work(desk: Desk) -> object:
            outside.start_soon(desk.write, "mentor")
            await anyio.wait_all_tasks_blocked()
            await desk.commit(await desk.write("generator"))
            return desk.finish()

        result = await at_desk(work, mentor=mentor)
        outside.cancel_scope.cancel()

    assert "returned with 1 of its calls still running; await all tasks" in str(result.error)


async def test_a_strategy_that_goes_in_circles_comes_to_an_end() -> None:
    async def work(desk: Desk) -> object:
        while True:
            await desk.write("generator")

    result = await at_desk(work, max_answer_tokens=3)

    assert (result.reason, result.error) == ("turns", None)


async def test_a_strategy_that_waits_for_ever_ends_at_its_deadline() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        await anyio.sleep_forever()
        return None

    result = await at_desk(work, budget=Budget(deadline_s=0.05))

    assert (result.text, str(result.ending)) == ("a", "budget: deadline_s")


async def test_a_budget_that_is_spent_in_two_branches_ends_the_problem_cleanly() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        async with desk.branch() as one, desk.branch() as other:
            async with anyio.create_task_group() as group:
                group.start_soon(one.write, "mentor")
                group.start_soon(other.write, "mentor")
        return desk.finish()

    result = await at_desk(work, budget=Budget(max_calls=1))

    assert (str(result.ending), result.error, result.text) == ("budget: max_calls", None, "a")


def test_a_strategy_takes_the_place_of_a_policy() -> None:
    with pytest.raises(ConfigError, match="the strategy 'Does' takes the place of policy"):
        Recipe(strategy=Does(work=raises), policy=Always())


async def test_text_that_may_be_taken_back_settles_at_the_end() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator", Until(3)))
        await desk.roll_back(Mark(0))
        await desk.commit(await desk.write("mentor"))
        return desk.finish()

    recipe = Recipe(strategy=Does(work=work, is_taking_back=True), unit=TokenUnit())
    controller = Controller(
        generator=FakeBackend(model=FakeModel(OWN)),
        mentor=FakeBackend(model=FakeModel(OTHER)),
        recipe=recipe,
    )
    async with controller, controller.stream("q") as events:
        shown = [event async for event in events if isinstance(event, Settled)]

    assert shown == [Settled("A", "mentor")]


def test_verdicts_name_one_of_several_proposals() -> None:
    assert Verdict("mentor", choice=2).choice == 2
