"""The engine: shared passes, cancellation, failure, closing, and nothing left behind."""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import torch
from support.models import CORPUS, GREEDY, make_model, make_tokenizer, serving, session

from collab.errors import ModelCallError
from collab.proposals import Sampling, Token, Until
from collab.signals import Observation, Signals
from collab_backends.local.attention import Plan
from collab_backends.local.backend import LocalModel
from collab_backends.local.cache import SequenceCache
from collab_backends.local.engine import _is_out_of_memory

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


async def test_a_failing_pass_is_a_typed_error_and_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 5)

        def fail(*args: object) -> torch.Tensor:
            raise RuntimeError("out of memory, says the test")

        async with session(model) as live:
            with monkeypatch.context() as patch:
                patch.setattr(model.engine, "_logits", fail)
                with pytest.raises(
                    ModelCallError, match="the forward pass failed: RuntimeError: out of memory"
                ):
                    await live.generate(Until(5), GREEDY)
            again = await live.generate(Until(5), GREEDY)

    assert again.text == expected


async def test_a_closed_model_refuses_calls() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        pass

    with pytest.raises(ModelCallError, match="the model was closed"):
        await write(model, 1)


async def test_a_pass_that_fails_with_all_fails_only_those_that_fail_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 20)
        forward = model.engine._logits

        def fail_for_the_longest(
            ids: list[int], positions: list[int], rows: list[int], plan: Plan
        ) -> torch.Tensor:
            if max(positions) > 30:
                raise RuntimeError("too long, says the test")
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(model.engine, "_logits", fail_for_the_longest)

        async def neighbour() -> None:
            texts.append(await write(model, 20))

        async def victim() -> None:
            with pytest.raises(ModelCallError, match="the forward pass failed: RuntimeError"):
                await write(model, 60)

        async with anyio.create_task_group() as group:
            group.start_soon(victim)
            group.start_soon(neighbour)
            group.start_soon(neighbour)

    assert texts == [expected] * 2


async def test_a_job_that_cannot_read_its_logits_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 20)

        async def victim() -> None:
            async with session(model, seed=3) as live:
                with pytest.raises(ModelCallError, match="reading the logits failed: KeyError"):
                    await live.generate(Until(20), Sampling(temperature=1.0))

        def fail(*args: object) -> int:
            raise KeyError("says the test")

        monkeypatch.setattr("collab_backends.local.jobs.draw", fail)
        async with anyio.create_task_group() as group:
            group.start_soon(victim)
            again = await write(model, 20)

    assert again == expected


async def test_ids_of_another_models_tokenizer_are_refused_before_the_pass() -> None:
    async with serving(make_model(vocabulary=300), make_tokenizer(vocabulary=400)) as model:
        with pytest.raises(ModelCallError, match="its tokenizer belongs to another model"):
            async with session(model, "therefore because another") as live:
                await live.generate(Until(1), GREEDY)


async def test_logits_that_are_no_numbers_fail_only_their_own_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 20)
        forward = model.engine._logits

        def spoil_the_longest(
            ids: list[int], positions: list[int], rows: list[int], plan: Plan
        ) -> torch.Tensor:
            logits = forward(ids, positions, rows, plan)
            logits[[positions[row] > 30 for row in rows]] = torch.nan
            return logits

        monkeypatch.setattr(model.engine, "_logits", spoil_the_longest)

        async def victim() -> None:
            with pytest.raises(ModelCallError, match=r"logits are not numbers \(NaN or infinity\)"):
                await write(model, 60)

        async with anyio.create_task_group() as group:
            group.start_soon(victim)
            again = await write(model, 20)

    assert again == expected


async def test_a_batch_that_does_not_fit_the_memory_is_halved_and_all_survive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(
        "collab_backends.local.engine.log_event", lambda name, **_: events.append(name)
    )
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 12)
        forward = model.engine._logits

        def narrow(
            ids: list[int], positions: list[int], rows: list[int], plan: Plan
        ) -> torch.Tensor:
            if len(plan.pieces) > 2:
                raise torch.OutOfMemoryError("says the test")
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(model.engine, "_logits", narrow)

        async def one() -> None:
            texts.append(await write(model, 12))

        async with anyio.create_task_group() as group:
            for _ in range(7):
                group.start_soon(one)

    assert texts == [expected] * 7
    assert "engine.pass_failed" in events


async def test_a_long_prompt_delays_the_others_by_one_chunk_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[int] = []
    decoding: list[int] = []
    async with serving(make_model(), TOKENIZER, chunk_tokens=16) as model:
        forward = model.engine._logits

        def watched(
            ids: list[int], positions: list[int], rows: list[int], plan: Plan
        ) -> torch.Tensor:
            fed.append(len(ids))
            decoding.append(sum(piece.end - piece.start == 1 for piece in plan.pieces))
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(model.engine, "_logits", watched)

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


async def test_a_prefix_that_cannot_be_copied_for_want_of_memory_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise torch.OutOfMemoryError("says the test")

    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        expected = (await live.generate(Until(6), GREEDY)).text
        monkeypatch.setattr(SequenceCache, "take_prefix", fail)
        live.append("")
        async with live.fork() as twin:
            assert (await twin.generate(Until(6), GREEDY)).text == expected


async def test_a_plan_that_fails_fails_its_jobs_and_nobody_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 5)

        def fail(*args: object) -> None:
            raise KeyError("says the test")

        async def leaving() -> None:
            with anyio.move_on_after(0.05), suppress(ModelCallError):
                await write(model, 400)

        async with anyio.create_task_group() as group:
            group.start_soon(leaving)
            with monkeypatch.context() as patch:
                patch.setattr(model.engine._scheduler, "plan", fail)
                with pytest.raises(ModelCallError, match="planning the pass failed: KeyError"):
                    await write(model, 5)

        assert await write(model, 5) == expected


async def test_spoilt_entries_are_taken_over_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = CORPUS[1] + CORPUS[0]
    async with serving(make_model(), TOKENIZER) as model:
        forward = model.engine._logits

        def spoil(*args: Any) -> torch.Tensor:
            return forward(*args) * torch.nan

        with monkeypatch.context() as patch:
            patch.setattr(model.engine, "_logits", spoil)
            async with session(model, prompt) as live:
                with pytest.raises(ModelCallError, match="logits are not numbers"):
                    await live.generate(Until(1), GREEDY)
        async with session(model, prompt) as live:
            await live.generate(Until(1), GREEDY)

    assert live.meter.cached_tokens == 0


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


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), ZeroDivisionError()])
async def test_a_predicate_that_raises_fails_only_its_own_text(error: BaseException) -> None:
    def fail(tokens: Sequence[Token]) -> bool:
        raise error

    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 20)
        async with session(model) as live, anyio.create_task_group() as group:
            group.start_soon(write, model, 20)
            with pytest.raises(ModelCallError, match=f"logits failed: {type(error).__name__}"):
                await live.generate(Until(20, stop_if=fail), GREEDY)

        assert await write(model, 20) == expected


def test_want_of_memory_is_recognised_on_every_device() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)

    assert _is_out_of_memory(raised.value)
    assert _is_out_of_memory(torch.OutOfMemoryError())
    assert not _is_out_of_memory(RuntimeError("size mismatch"))
