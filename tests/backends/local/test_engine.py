"""The engine: shared passes, cancellation, failure, closing, and nothing left behind."""

import gc

import anyio
import anyio.lowlevel
import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer, serving, session

from collab.errors import ModelCallError
from collab.proposals import Sampling, Until
from collab_backends.local.attention import Plan
from collab_backends.local.backend import LocalModel
from collab_backends.local.cache import SequenceCache

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
