"""Memory for caches: bounded, shared, and all free in the end."""

import random
from functools import partial

import anyio
import anyio.lowlevel
import pytest
import torch
from support.lives import live_many_lives
from support.models import CORPUS, GREEDY, make_model, make_tokenizer, packed, serving, session

from collab.errors import ContextOverflowError
from collab.proposals import Until
from collab_backends.local.attention import AttentionPlan
from collab_backends.local.cache import SequenceCache
from collab_backends.local.memory import RETIRED_CACHES, CacheMemory
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession

TOKENIZER = make_tokenizer()
SHOTS = CORPUS[0] + CORPUS[1]
SHOT_TOKENS = len(TOKENIZER.encode(SHOTS, add_special_tokens=False))


async def write(model: LocalModel, prompt: str, tokens: int = 12) -> str:
    async with session(model, prompt) as live:
        return (await live.generate(Until(tokens), GREEDY)).text


# --- shared prefixes --------------------------------------------------------------------------


async def test_equal_prompts_asked_at_the_same_time_are_computed_once() -> None:
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER, chunk_tokens=16) as model:

        async def one() -> None:
            texts.append(await write(model, SHOTS))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)

        # The last token of each is fed for its logits.
        assert model.engine.prefilled == SHOT_TOKENS + 3
    assert len(set(texts)) == 1


async def test_a_shared_beginning_is_computed_once_also_after_its_first_text_was_closed() -> None:
    questions = ["So what is it?", "Now then, 3 times 4", "The other word"]
    ends = [len(TOKENIZER.encode(SHOTS + q, add_special_tokens=False)) for q in questions]
    alone = []
    for question in questions:
        async with serving(make_model(), TOKENIZER) as model:
            alone.append(await write(model, SHOTS + question))

    async with serving(make_model(), TOKENIZER) as model:
        together = [await write(model, SHOTS + question) for question in questions]

        # The tokenizer may join the last word of the shots with the question.
        assert model.engine.prefilled <= ends[0] + sum(end - SHOT_TOKENS + 1 for end in ends[1:])
    assert together == alone


async def test_what_a_text_took_over_counts_as_cached() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        await write(model, SHOTS)
        async with session(model, SHOTS) as live:
            await live.generate(Until(1), GREEDY)

    assert (live.meter.prompt_tokens, live.meter.cached_tokens) == (SHOT_TOKENS, SHOT_TOKENS - 1)


async def test_caches_of_closed_texts_do_not_pile_up() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        for number in range(3 * RETIRED_CACHES):
            await write(model, f"{number} " + SHOTS, tokens=1)
        held = model.engine.memory.taken

        assert model.engine.memory.live_caches == 0
        assert held <= RETIRED_CACHES * 1.1 * (SHOT_TOKENS + 32)
    assert model.engine.memory.taken == 0


# --- the bound --------------------------------------------------------------------------------


def watch_memory(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take note of the memory taken at every pass."""
    taken: list[int] = []
    forward = packed(model)._logits

    def watched(
        ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
    ) -> torch.Tensor:
        taken.append(model.engine.memory.taken)
        return forward(ids, positions, rows, plan)

    monkeypatch.setattr(packed(model), "_logits", watched)
    return taken


async def test_texts_that_do_not_fit_together_wait_or_are_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = [f"{number} {CORPUS[number % 3]}" for number in range(6)]
    async with serving(make_model(), TOKENIZER) as model:
        expected = [await write(model, prompt, 40) for prompt in prompts]

    texts: dict[int, str] = {}
    async with serving(make_model(), TOKENIZER, cache_tokens=220) as model:
        taken = watch_memory(model, monkeypatch)

        async def in_pieces(number: int) -> None:
            async with session(model, prompts[number]) as live:
                text = ""
                for _ in range(8):
                    piece = await live.generate(Until(5), GREEDY)
                    live.commit(len(piece.tokens))
                    text += piece.text
                texts[number] = text

        async with anyio.create_task_group() as group:
            for number in range(len(prompts)):
                group.start_soon(in_pieces, number)

        # Six texts need three times the memory, so entries were dropped and computed again.
        lengths = sum(len(TOKENIZER.encode(one, add_special_tokens=False)) for one in prompts)
        assert model.engine.prefilled > lengths + 6 * 8
    assert max(taken) <= 220
    assert [texts[number] for number in range(len(prompts))] == expected


async def test_a_text_that_could_never_fit_is_refused_and_its_neighbours_are_not() -> None:
    async with serving(make_model(), TOKENIZER, cache_tokens=100) as model:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(write, model, "So the answer is", tokens=20))
            with pytest.raises(ContextOverflowError, match=r"needs more memory .* raise cache_gib"):
                await write(model, SHOTS + SHOTS, tokens=60)

        assert model.engine.memory.live_caches == 0


@pytest.mark.usefixtures("engine")
async def test_a_text_that_could_never_fit_holds_nobody_up() -> None:
    async with serving(make_model(), TOKENIZER, cache_tokens=300) as model:
        async with anyio.create_task_group() as group:
            async with session(model) as long:
                group.start_soon(long.generate, Until(250), GREEDY)
                with pytest.raises(ContextOverflowError):
                    await write(model, SHOTS * (1 + 300 // SHOT_TOKENS), tokens=5)
                await write(model, "So", tokens=3)
                done = model.engine.forwards
                group.cancel_scope.cancel()

    # Long before the long text was done.
    assert done < 100


@pytest.mark.usefixtures("engine")
async def test_a_session_closed_in_the_middle_of_a_call_loses_its_room_after_it() -> None:
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        expected = [await write(model, CORPUS[number], tokens=60) for number in range(2)]

        async def speak(live: LocalSession) -> None:
            texts.append((await live.generate(Until(60), GREEDY)).text)

        async with anyio.create_task_group() as group:
            async with session(model, CORPUS[0]) as first:
                group.start_soon(speak, first)
                before = model.engine.decoded
                while model.engine.decoded < before + 20:
                    await anyio.lowlevel.checkpoint()
            async with session(model, CORPUS[1]) as second:
                await speak(second)

        assert sorted(texts) == sorted(expected)
        assert model.engine.memory.live_caches == 0


@pytest.mark.usefixtures("engine")
async def test_a_session_closed_before_its_call_began_leaves_nothing() -> None:
    async with serving(make_model(), TOKENIZER, cache_tokens=160) as model:
        async with anyio.create_task_group() as group:
            async with session(model, CORPUS[0]) as first:
                group.start_soon(partial(write, model, CORPUS[1], tokens=60))
                await anyio.lowlevel.checkpoint()
                group.start_soon(first.generate, Until(40), GREEDY)
                await anyio.lowlevel.checkpoint()

        assert model.engine.memory.live_caches == 0


@pytest.mark.usefixtures("engine")
async def test_a_generous_bound_takes_no_room_before_the_text_grows() -> None:
    async with serving(make_model(), TOKENIZER, cache_tokens=300) as model, session(model) as live:
        proposal = await live.generate(Until(400, stop_if=lambda tokens: len(tokens) > 20), GREEDY)

        assert len(proposal.tokens) == 21
        assert model.engine.memory.taken < 120


@pytest.mark.usefixtures("engine")
async def test_a_text_that_outgrows_all_memory_fails_alone_and_keeps_what_it_wrote() -> None:
    async with serving(make_model(), TOKENIZER, cache_tokens=160) as model, session(model) as live:
        with pytest.raises(ContextOverflowError, match=r"needs more memory .* raise cache_gib"):
            await live.generate(Until(400), GREEDY)

        assert live.meter.completion_tokens > 140
        await write(model, "So", tokens=3)


@pytest.mark.usefixtures("engine")
async def test_the_youngest_text_waits_when_room_runs_out_and_is_paid_for_once() -> None:
    prompts = [f"{number} {CORPUS[number % 3]}" for number in range(4)]
    async with serving(make_model(), TOKENIZER) as model:
        expected = [await write(model, prompt, 100) for prompt in prompts]

    texts: dict[int, str] = {}
    async with serving(make_model(), TOKENIZER, cache_tokens=360) as model:

        async def one(number: int) -> None:
            async with session(model, prompts[number]) as live:
                texts[number] = (await live.generate(Until(100), GREEDY)).text
                assert live.meter.prompt_tokens == len(live.ids)
                assert live.meter.completion_tokens == 100

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
        once = sum(len(TOKENIZER.encode(one, add_special_tokens=False)) for one in prompts)

        assert model.engine.prefilled > once
        assert model.engine.decoded == 400
    assert [texts[number] for number in range(4)] == expected


def test_the_longest_unused_cache_makes_room_first() -> None:
    memory = CacheMemory(3 * 112)
    caches = [SequenceCache() for _ in range(3)]
    for cache in caches:
        assert memory.claim(cache, 100)
        memory.rest(cache)
    assert memory.claim(caches[0], 100)
    memory.rest(caches[0])

    assert memory.claim(SequenceCache(), 100)

    assert [cache.capacity > 0 for cache in caches] == [True, False, True]


def test_a_cache_at_work_is_never_dropped() -> None:
    memory = CacheMemory(112)
    busy = SequenceCache()
    assert memory.claim(busy, 100)

    assert not memory.claim(SequenceCache(), 10)
    assert busy.capacity == memory.taken
    memory.rest(busy)
    assert memory.claim(SequenceCache(), 10)
    assert (busy.capacity, memory.live_caches) == (0, 1)


# --- nothing left behind ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_all_memory_is_free_after_any_mix_of_ends(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    async with serving(make_model(), TOKENIZER, cache_tokens=400, chunk_tokens=16) as model:
        forward = packed(model)._logits

        def sometimes(
            ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
        ) -> torch.Tensor:
            if rng.random() < 0.03:
                raise RuntimeError("says the test")
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(packed(model), "_logits", sometimes)

        await live_many_lives(model, seed)

        assert model.engine.memory.live_caches == 0
        assert model.open_sessions == 0
    assert model.engine.memory.taken == 0
