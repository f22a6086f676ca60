"""Strategies at a desk: what they may do, what is refused, and what is left behind."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from collab import (
    Budget,
    Controller,
    Desk,
    Ending,
    Mark,
    Problem,
    Recipe,
    Result,
    Sampling,
    Settled,
    Strategy,
    TokenUnit,
    Until,
    Verdict,
)
from collab.errors import ConfigError
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always

Work = Callable[[Desk], Awaitable[object]]
WARM = Sampling(temperature=1.0)
OWN = "a b c d e f"
OTHER = "A B C D E F"


class Does(Strategy):
    """Does what a test says."""

    work: Work
    is_taking_back: bool = False

    @property
    def takes_back(self) -> bool:
        return self.is_taking_back

    async def run(self, desk: Desk) -> Ending | None:
        return await self.work(desk)  # type: ignore[return-value]


async def at_desk(
    work: Work,
    *,
    generator: FakeModel | None = None,
    mentor: FakeModel | None = None,
    takes_back: bool = False,
    budget: Budget | None = None,
    **options: object,
) -> Result:
    recipe = Recipe(
        strategy=Does(work=work, is_taking_back=takes_back),
        unit=TokenUnit(),
        **options,  # type: ignore[arg-type]
    )
    controller = Controller(
        generator=FakeBackend(model=generator or FakeModel(OWN)),
        mentor=FakeBackend(model=mentor or FakeModel(OTHER)),
        judges={"critic": FakeBackend(model=FakeModel(labels={"Y": 0.7}, rewards={"good": 0.9}))},
        recipe=recipe,
        budget=budget or Budget(),
    )
    async with controller:
        return await controller.solve(Problem(id="p", prompt="q"))


def authors(result: Result) -> list[tuple[str, str]]:
    return [(span.author, span.text) for span in result.spans]


async def test_a_strategy_writes_with_several_roles_and_ends_in_its_own_words() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        await desk.commit(await desk.write("mentor"))
        return desk.finish("enough")

    result = await at_desk(work)

    assert authors(result) == [("generator", "a"), ("mentor", " B")]
    assert str(result.ending) == "strategy: enough"


async def test_the_text_is_over_where_a_model_ends_it() -> None:
    async def work(desk: Desk) -> object:
        while desk.ending is None:
            await desk.commit(await desk.write("generator", Until(4)))
        return None

    result = await at_desk(work)

    assert (result.text, result.reason) == (OWN, "eos")


async def test_the_text_is_over_where_there_is_no_more_room() -> None:
    async def work(desk: Desk) -> object:
        while desk.ending is None:
            await desk.commit(await desk.write("generator", Until(4)))
        return None

    result = await at_desk(work, max_answer_tokens=5)

    assert (result.text, result.reason) == ("a b c d e", "length")


async def test_a_part_of_a_proposal_is_committed_and_then_the_part_after_it() -> None:
    generator = FakeModel(OWN)

    async def work(desk: Desk) -> object:
        written = await desk.write("generator", Until(4))
        await desk.commit(written, upto=1)
        await desk.commit(written.part(1, 3))
        return desk.finish()

    result = await at_desk(work, generator=generator)

    assert (result.text, generator.decoded) == ("a b c", 4)


async def test_participants_judge_score_and_look_on() -> None:
    async def work(desk: Desk) -> object:
        judged = await desk.judge("critic", "good?", ("Y", "N"))
        scored = await desk.score("mentor", " B")
        await desk.commit(await desk.write("generator"))
        return desk.finish(f"{judged.labels['Y']} {scored[0].logprob}")

    result = await at_desk(work)

    assert str(result.ending) == "strategy: 0.7 -1.0"
    assert [call.purpose for call in result.calls] == ["judge", "score", "draft"]


async def test_a_judge_gives_rewards_for_steps() -> None:
    rewards: list[float] = []

    async def work(desk: Desk) -> object:
        rewards.extend(await desk.reward("critic", ["good", "bad"]))
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    result = await at_desk(work)

    assert rewards == [0.9, 0.0]
    assert (result.calls[0].role, result.calls[0].purpose) == ("critic", "score")


async def test_text_of_its_own_is_shown_to_those_it_names() -> None:
    async def work(desk: Desk) -> object:
        await desk.inject("note ", visible_to=frozenset({"mentor"}))
        await desk.commit(await desk.write("generator"))
        await desk.inject("!")
        return desk.finish()

    result = await at_desk(work)

    assert (result.text, result.spans[0].author) == ("a!", "strategy")


async def test_what_is_kept_comes_back_with_the_result() -> None:
    async def work(desk: Desk) -> object:
        desk.keep("tries", [1, 2])
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    assert (await at_desk(work)).kept == {"tries": [1, 2]}


async def test_a_random_stream_depends_on_seed_and_problem() -> None:
    drawn: list[float] = []

    async def work(desk: Desk) -> object:
        drawn.append(desk.rng("x").random())
        drawn.append(desk.rng("x").random())
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    await at_desk(work)
    await at_desk(work)

    assert len(set(drawn)) == 1


# --- alternatives and branches ----------------------------------------------------------------


async def test_one_of_several_alternatives_is_committed_without_decoding_it_again() -> None:
    generator = FakeModel(OWN)

    async def work(desk: Desk) -> object:
        many = await desk.write_many("generator", 3, Until(2))
        await desk.commit(many[2])
        await desk.commit(await desk.write("generator", Until(2)))
        return desk.finish()

    result = await at_desk(work, generator=generator, sampling=WARM)

    # Three alternatives of 2 tokens, and 2 more.
    assert (result.text, generator.decoded) == ("a b c d", 8)
    assert result.usage["generator"].kept_tokens == 4


async def test_an_alternative_is_dropped_when_the_text_changes() -> None:
    async def work(desk: Desk) -> object:
        many = await desk.write_many("generator", 2, Until(1))
        await desk.commit(await desk.write("mentor", Until(1)))
        return await desk.commit(many[1])

    result = await at_desk(work, sampling=WARM)

    assert "cannot be committed any more: the text has changed" in str(result.error)
    assert result.text == "A"


async def test_alternatives_of_a_greedy_model_are_refused() -> None:
    async def work(desk: Desk) -> object:
        return await desk.write_many("generator", 2)

    result = await at_desk(work)

    assert "which writes the same text each time; give the recipe a sampling" in str(result.error)


async def test_a_branch_goes_on_alone_and_is_adopted_with_all_it_computed() -> None:
    generator = FakeModel(OWN)

    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        async with desk.branch() as branch:
            await branch.commit(await branch.write("generator", Until(2)))
            await branch.commit(await branch.write("mentor"))
            here = desk.text
            await desk.adopt(branch)
        await desk.commit(await desk.write("generator"))
        return desk.finish(here)

    result = await at_desk(work, generator=generator)

    assert authors(result) == [
        ("generator", "a"),
        ("generator", " b c"),
        ("mentor", " D"),
        ("generator", " e"),
    ]
    assert str(result.ending) == "strategy: a"
    assert [span.index for span in result.spans] == [0, 1, 2, 3]
    assert generator.decoded == 4


async def test_branches_work_side_by_side_and_those_left_leave_nothing() -> None:
    generator = FakeModel(OWN)

    async def work(desk: Desk) -> object:
        async with desk.branch() as one, desk.branch() as other:
            async with anyio.create_task_group() as group:
                group.start_soon(one.write, "generator")
                group.start_soon(other.write, "mentor")
        await desk.commit(await desk.write("generator"))
        return desk.finish()

    result = await at_desk(work, generator=generator)

    assert (result.text, generator.open_sessions) == ("a", 0)


async def test_a_branch_that_ended_the_text_ends_it_for_its_desk() -> None:
    async def work(desk: Desk) -> object:
        async with desk.branch() as branch:
            await branch.commit(await branch.write("generator", Until(20)))
            await desk.adopt(branch)
        return None

    result = await at_desk(work)

    assert (result.text, result.reason) == (OWN, "eos")


async def test_a_branch_may_take_back_what_stood_before_it() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator", Until(2)))
        async with desk.branch() as branch:
            await branch.roll_back(Mark(0))
            await branch.commit(await branch.write("mentor"))
            await desk.adopt(branch)
        return desk.finish()

    result = await at_desk(work, takes_back=True)

    assert authors(result) == [("mentor", "A")]


async def test_branches_draw_the_same_whatever_runs_beside_them() -> None:
    texts = []
    for order in ((0, 1), (1, 0)):

        async def work(desk: Desk, order: tuple[int, ...] = order) -> object:
            async with desk.branch() as one, desk.branch() as other:
                for place in order:
                    await (one, other)[place].write_many("generator", 2, Until(3))
                await one.commit(await one.write("generator"))
                await desk.adopt(one)
            return desk.finish()

        texts.append((await at_desk(work, sampling=WARM)).raise_for_error().text)

    assert texts[0] == texts[1]


# --- what is refused --------------------------------------------------------------------------


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
