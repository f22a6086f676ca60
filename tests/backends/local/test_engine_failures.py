"""What can fail in the engine: it fails where it belongs, and the engine goes on."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import torch
from support.models import CORPUS, GREEDY, make_model, make_tokenizer, packed, serving, session

from collab.errors import ModelCallError
from collab.proposals import Sampling, Token, Until
from collab_backends.local.attention import AttentionPlan
from collab_backends.local.cache import SequenceCache
from collab_backends.local.model import LocalModel
from collab_backends.local.passes import is_out_of_memory

TOKENIZER = make_tokenizer()


async def write(model: LocalModel, tokens: int) -> str:
    async with session(model) as live:
        return (await live.generate(Until(tokens), GREEDY)).text


async def test_a_failing_pass_is_a_typed_error_and_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 5)

        def fail(*args: object) -> torch.Tensor:
            raise RuntimeError("out of memory, says the test")

        async with session(model) as live:
            with monkeypatch.context() as patch:
                patch.setattr(packed(model), "_logits", fail)
                with pytest.raises(
                    ModelCallError, match="the forward pass failed: RuntimeError: out of memory"
                ):
                    await live.generate(Until(5), GREEDY)
            again = await live.generate(Until(5), GREEDY)

    assert again.text == expected


async def test_a_pass_that_fails_with_all_fails_only_those_that_fail_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 20)
        forward = packed(model)._logits

        def fail_for_the_longest(
            ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
        ) -> torch.Tensor:
            if max(positions) > 30:
                raise RuntimeError("too long, says the test")
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(packed(model), "_logits", fail_for_the_longest)

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

        monkeypatch.setattr("collab_backends.local.sampler.draw", fail)
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
        forward = packed(model)._logits

        def spoil_the_longest(
            ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
        ) -> torch.Tensor:
            logits = forward(ids, positions, rows, plan)
            logits[[positions[row] > 30 for row in rows]] = torch.nan
            return logits

        monkeypatch.setattr(packed(model), "_logits", spoil_the_longest)

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
        "collab_backends.local.passes.log_event", lambda name, **_: events.append(name)
    )
    texts: list[str] = []
    async with serving(make_model(), TOKENIZER) as model:
        expected = await write(model, 12)
        forward = packed(model)._logits

        def narrow(
            ids: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
        ) -> torch.Tensor:
            if len(plan.pieces) > 2:
                raise torch.OutOfMemoryError("says the test")
            return forward(ids, positions, rows, plan)

        monkeypatch.setattr(packed(model), "_logits", narrow)

        async def one() -> None:
            texts.append(await write(model, 12))

        async with anyio.create_task_group() as group:
            for _ in range(7):
                group.start_soon(one)

    assert texts == [expected] * 7
    assert "engine.pass_failed" in events


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
        forward = packed(model)._logits

        def spoil(*args: Any) -> torch.Tensor:
            return forward(*args) * torch.nan

        with monkeypatch.context() as patch:
            patch.setattr(packed(model), "_logits", spoil)
            async with session(model, prompt) as live:
                with pytest.raises(ModelCallError, match="logits are not numbers"):
                    await live.generate(Until(1), GREEDY)
        async with session(model, prompt) as live:
            await live.generate(Until(1), GREEDY)

    assert live.meter.cached_tokens == 0


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

    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("size mismatch"))
