"""Forks that are adopted: nothing of theirs is computed again, and nothing else is kept."""

import pytest
from support.generic_models import GENERIC_ENGINE, endless_tokenizer, make_generic
from support.models import CORPUS, GREEDY, make_model, make_tokenizer, serving, session

from collab.proposals import Sampling, Until
from collab.signals import Steering
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession

TOKENIZER = make_tokenizer()
PROMPT = CORPUS[0]
WARM = Sampling(temperature=1.0)


def spent(model: LocalModel) -> tuple[int, int]:
    """Context tokens computed and tokens decoded since the engine started."""
    return model.engine.prefilled, model.engine.decoded


async def go_on(live: LocalSession, count: int, sampling: Sampling = GREEDY) -> list[int]:
    return [token.id for token in (await live.generate(Until(count), sampling)).tokens]


async def adopt_after_writing(model: LocalModel) -> None:
    """Adopt a fork that wrote, and check that only what is new is computed from there on."""
    async with session(model, PROMPT) as live:
        await go_on(live, 4)
        live.commit(4)
        async with live.fork() as twin:
            twin.append(" so then")
            ahead = await go_on(twin, 5)
            ids = twin.ids
            live.adopt(twin)
        before, tokens = spent(model), live.meter.completion_tokens
        assert await go_on(live, 5) == ahead
        assert (spent(model), live.ids) == (before, ids)
        assert live.meter.completion_tokens == tokens
        live.commit(5)
        await go_on(live, 1)
        # The fifth token was decoded but not fed yet.
        assert spent(model) == (before[0] + 1, before[1] + 1)


@pytest.mark.usefixtures("engine")
async def test_after_an_adoption_nothing_is_computed_again() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        await adopt_after_writing(model)


@pytest.mark.parametrize("architecture", ["llama", "mamba", "qwen3-next", "gpt-oss"])
async def test_a_generic_cache_is_taken_over_as_it_is(architecture: str) -> None:
    model = make_generic(architecture)
    async with serving(model, endless_tokenizer(), options=GENERIC_ENGINE) as served:
        await adopt_after_writing(served)


@pytest.mark.usefixtures("engine")
async def test_a_fork_that_was_not_called_leaves_the_cache_to_its_origin() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        ahead = await go_on(live, 4)
        async with live.fork() as twin:
            twin.commit(2)
            live.adopt(twin)
        before = spent(model)
        written = await go_on(live, 3)

        assert written[:2] == ahead[2:]
        # The fourth token was decoded but not fed yet.
        assert spent(model) == (before[0] + 1, before[1] + 1)


@pytest.mark.usefixtures("engine")
async def test_the_cache_from_before_an_adoption_is_released() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        memory = model.engine.memory
        async with session(model, PROMPT) as live:
            await go_on(live, 40)
            async with live.fork() as twin:
                await go_on(twin, 41)
                both, taken = memory.live_caches, memory.taken
                live.adopt(twin)
                assert (both, memory.live_caches) == (2, 1)
                assert memory.taken < taken
                kept = memory.taken
            # Closing the fork frees nothing that was taken over.
            assert (memory.live_caches, memory.taken) == (1, kept)
        assert memory.live_caches == 0


@pytest.mark.usefixtures("engine")
async def test_marks_from_before_the_fork_and_from_the_fork_stay_valid() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        start, ids = live.mark, live.ids
        expected = await go_on(live, 6)
        live.commit(2)
        async with live.fork() as twin:
            twin.append(" so then")
            inside, inside_ids = twin.mark, twin.ids
            twin.append(" and")
            live.append(" forgotten")
            lost = live.mark
            live.adopt(twin)

        with pytest.raises(ValueError, match="is no mark of this session"):
            live.rollback(lost)
        live.rollback(inside)
        assert live.ids == inside_ids
        live.rollback(start)
        assert live.ids == ids
        assert await go_on(live, 6) == expected


@pytest.mark.usefixtures("engine")
async def test_a_fork_beside_an_adopted_one_still_computes_nothing_again() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model, "So it is") as live:
        await go_on(live, 4)
        live.commit(4)
        async with live.fork() as twin, live.fork() as other:
            await go_on(twin, 1)
            live.adopt(twin)
            before = spent(model)
            await go_on(other, 1)

        # Only the fourth token, which this fork has not fed yet.
        assert spent(model) == (before[0] + 1, before[1] + 1)


@pytest.mark.usefixtures("engine")
async def test_steering_and_the_random_stream_are_taken_over() -> None:
    steering = Steering(1, [0.5 * (number % 3 - 1) for number in range(64)])
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, seed=3) as live:
            live.steer(steering)
            live.commit(len(await go_on(live, 4, WARM)))
            expected = await go_on(live, 8, WARM)
        async with session(model, PROMPT, seed=3) as live:
            async with live.fork() as twin:
                twin.steer(steering)
                twin.commit(len(await go_on(twin, 4, WARM)))
                live.adopt(twin)
            drawn = await go_on(live, 8, WARM)

    assert drawn == expected


async def test_what_is_no_open_fork_is_refused() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT) as live, session(model, PROMPT) as other:
            async with live.fork() as closed:
                pass
            async with live.fork() as twin, twin.fork() as grandchild:
                for stranger in (other, live, closed, grandchild):
                    with pytest.raises(ValueError, match="only an open fork of this session"):
                        live.adopt(stranger)
