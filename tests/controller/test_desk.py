"""Strategies at a desk: what they may do with one problem."""

from support.desks import OWN, at_desk
from support.plugins import spans

from collab import Desk, Until
from collab.testing import FakeModel


async def test_a_strategy_writes_with_several_roles_and_ends_in_its_own_words() -> None:
    async def work(desk: Desk) -> object:
        await desk.commit(await desk.write("generator"))
        await desk.commit(await desk.write("mentor"))
        return desk.finish("enough")

    result = await at_desk(work)

    assert spans(result) == [("generator", "a"), ("mentor", " B")]
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
