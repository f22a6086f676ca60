"""Alternatives and branches of a desk: adopted with all they computed, or dropped."""

import anyio
from support.desks import OWN, WARM, at_desk
from support.plugins import spans

from collab import Desk, Mark, Until
from collab.testing import FakeModel


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

    assert spans(result) == [
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

    assert spans(result) == [("mentor", "A")]


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
