"""The engine: shared passes, cancellation, failure, closing, and nothing left behind."""

import gc

import anyio
import anyio.lowlevel
import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer, packed, serving, session

from collab.errors import ModelCallError
from collab.proposals import Until
from collab.signals import Observation, Signals
from collab_backends.local.attention import AttentionPlan
from collab_backends.local.cache import SequenceCache
from collab_backends.local.model import LocalModel

TOKENIZER = make_tokenizer()


def held_caches() -> int:
    """How many caches hold memory."""
    gc.collect()
    # By type: asking some of torch's objects for their class warns.
    found = [one for one in gc.get_objects() if type(one) is SequenceCache]
    return sum(bool(cache._layers) for cache in found)


async def write(model: LocalModel, tokens: int) -> str:
    async with session(model) as live:
        return (await live.generate(Until(tokens), GREEDY)).text


async def test_concurrent_sessions_share_forward_passes() -> None:
    async with serving(make_model(), TOKENIZER) as model, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(write, model, 20)

    # Alone each needs 20 passes; together a little more than 20 at the most.
    assert model.engine.decoded == 160
    assert model.engine.forwards < 40


async def test_a_pass_of_three_rows_is_filled_up_and_the_texts_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[list[str]] = []
    for smallest in (10**12, 0):
        monkeypatch.setattr("collab_backends.local.packed.SMALL_PARAMETERS", smallest)
        written: dict[int, str] = {}
        async with serving(make_model(), TOKENIZER) as model:

            async def one(number: int, written: dict[int, str]) -> None:
                async with session(model, f"{number} is") as live:
                    written[number] = (await live.generate(Until(20 + number), GREEDY)).text

            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(one, number, written)
        texts.append([written[number] for number in range(3)])

    assert texts[0] == texts[1]


async def test_the_event_loop_runs_on_while_the_engine_works() -> None:
    ticks = 0
    is_done = False

    async def tick() -> None:
        nonlocal ticks
        while not is_done:
            ticks += 1
            await anyio.lowlevel.checkpoint()

    async with serving(make_model(), TOKENIZER) as model, anyio.create_task_group() as group:
        group.start_soon(tick)
        await write(model, 30)
        is_done = True

    assert ticks > 30


async def test_a_cancelled_call_stops_decoding_and_its_neighbour_does_not_notice() -> None:
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        alone = await write(model, 30)
        async with session(model) as live, anyio.create_task_group() as group:

            async def neighbour() -> None:
                texts.append(await write(model, 30))

            async def victim(*, task_status: anyio.abc.TaskStatus[anyio.CancelScope]) -> None:
                with anyio.CancelScope() as scope:
                    task_status.started(scope)
                    await live.generate(Until(400), GREEDY)

            group.start_soon(neighbour)
            scope = await group.start(victim)
            while model.engine.decoded < 45:
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        assert texts == [alone]
        assert 0 < live.meter.completion_tokens < 400
        assert live.meter.completion_tokens + 60 == model.engine.decoded


async def test_a_cancelled_session_can_go_on_where_it_was() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 60)
        async with session(model) as live:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(live.generate, Until(400), GREEDY)
                    while model.engine.decoded < 70:
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
            proposal = await live.generate(Until(60), GREEDY)

    assert proposal.text == expected


async def test_nothing_is_held_after_any_mix_of_ends() -> None:
    before = held_caches()
    async with serving(make_model(), TOKENIZER) as model:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(write, model, 5)
                group.start_soon(write, model, 400)
                while model.engine.decoded < 20:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        with pytest.raises(KeyError):
            async with session(model) as live, live.fork() as twin:
                await twin.generate(Until(3), GREEDY)
                raise KeyError

        assert model.open_sessions == 0
        assert held_caches() == before


async def test_a_closed_model_refuses_calls() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        pass

    with pytest.raises(ModelCallError, match="the model was closed"):
        await write(model, 1)


async def test_a_long_prompt_delays_the_others_by_one_chunk_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[int] = []
    decoding: list[int] = []
    async with serving(make_model(), TOKENIZER, chunk_tokens=16) as model:
        forward = packed(model)._logits

        def watched(
            ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
        ) -> torch.Tensor:
            fed.append(len(ids))
            decoding.append(sum(piece.end - piece.start == 1 for piece in plan.pieces))
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(packed(model), "_logits", watched)

        async def ask(prompt: str) -> None:
            async with session(model, prompt) as live:
                await live.generate(Until(3), GREEDY)

        async with session(model) as live, anyio.create_task_group() as group:
            group.start_soon(live.generate, Until(200), GREEDY)
            group.start_soon(ask, "one " * 100)
            group.start_soon(ask, "other " * 80)

    # One text was decoding all the time, and the prompts shared the chunk.
    assert max(fed) <= 16 + 3
    assert min(decoding[5:]) >= 1


async def test_a_closed_engine_lets_go_of_its_hooks_and_caches() -> None:
    torch_model = make_model()
    async with serving(torch_model, TOKENIZER) as model:
        signals = Signals(observations=(Observation("state", 1),))
        async with session(model, signals=signals) as live:
            await live.generate(Until(2), GREEDY)

    assert not any(module._forward_pre_hooks for module in torch_model.modules())
    assert model.engine.memory.taken == 0


async def test_a_turn_that_came_too_late_is_not_taken_for_the_next_one() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        pass
    engine = model.engine
    engine._is_closing = False
    engine._turn = 3
    while not engine._signals.empty():
        engine._signals.get()
    for turn in (2, 0, 3):
        engine._signals.put(turn)

    engine._await_turn()

    assert engine._signals.empty()
