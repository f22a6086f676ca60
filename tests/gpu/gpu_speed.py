"""How near is it to what the device can do? Steps, contexts, forks, the host, and transformers."""

from collections.abc import Sequence
from statistics import median
from time import perf_counter

import anyio
import torch
from gpu_models import (
    GREEDY,
    TOKENIZER,
    Bench,
    free,
    make,
    open_text,
    options,
    prompts,
    rates,
    served,
    step_seconds,
    synchronise,
    write_each,
)
from support.limits import read_bytes, token_bytes
from transformers import GenerationConfig, PreTrainedModel

from collab.proposals import Until
from collab.signals import NO_SIGNALS, Observation, Signals, Steering
from collab_backends.local.model import LocalModel
from collab_backends.local.paged.passes import PagedPasses
from collab_backends.local.session import LocalSession

REPEATS = 3
THEIR_STEPS = 8


async def check_steps(bench: Bench) -> dict[str, object]:
    """Measure decoding steps of cached texts: plain, with four layers observed, and steered."""
    bandwidth, _ = rates(bench)
    figures: dict[str, object] = {"device.read_gb_per_s": bandwidth / 1e9}
    model = make(bench, bench.size)
    for texts in bench.batches:
        figures |= await _steps(bench, model, bench.size, texts, bandwidth)
    del model
    free(bench)
    if bench.big:
        big = make(bench, bench.big)
        for texts in bench.batches[:3:2]:
            figures |= await _steps(bench, big, bench.big, texts, bandwidth, is_plain=True)
    free(bench)
    return figures


async def _steps(
    bench: Bench,
    model: PreTrainedModel,
    size: str,
    texts: int,
    bandwidth: float,
    *,
    is_plain: bool = False,
) -> dict[str, object]:
    layers = int(model.config.num_hidden_layers)
    watching = Signals(
        observations=tuple(
            Observation(f"layer {layer}", layer, reduction=_reduce)
            for layer in range(layers // 4 - 1, layers, max(layers // 4, 1))
        )
    )
    async with served(model, options(bench)) as local:
        todo = prompts(model, texts, bench.context)
        ways = {"plain": [open_text(local, ids) for ids in todo]}
        if not is_plain:
            ways["observed"] = [open_text(local, ids, watching) for ids in todo]
            ways["steered"] = [open_text(local, ids) for ids in todo]
            for session in ways["steered"]:
                session.steer(Steering(layers // 2, [0.01] * local.engine.hidden.hidden_size))
        # In turns, so that texts of one length are compared, and each way is once the first.
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for first in range(len(ways) if not is_plain else REPEATS):
            for name in _rotated(list(ways), first):
                seconds[name].append(await step_seconds(local, ways[name], bench))
        step = median(seconds["plain"])
        # As long as the texts were in the middle of it.
        length = (bench.context + len(ways["plain"][0].ids)) // 2
        limit = read_bytes(model, texts * length) / bandwidth
        figures: dict[str, object] = {
            f"{size}.{texts}.step_ms": 1e3 * step,
            f"{size}.{texts}.tokens": length,
            f"{size}.{texts}.share_of_limit": limit / step,
            f"{size}.{texts}.host_us_per_step": local.engine.host_us_per_step,
            f"{size}.{texts}.capture_s": local.engine.capture_s,
            # Of a second model of one architecture, layers are compiled already.
            f"{size}.{texts}.compile_s": local.engine.compile_s,
        }
        for name in ways.keys() - {"plain"}:
            ratios = (b / a for a, b in zip(seconds["plain"], seconds[name], strict=True))
            figures[f"{size}.{texts}.{name}_over_plain"] = median(ratios)
        for session in (one for sessions in ways.values() for one in sessions):
            session.close()
    return figures


def _rotated(names: list[str], first: int) -> list[str]:
    first %= len(names)
    return [*names[first:], *names[:first]]


def _reduce(states: torch.Tensor) -> torch.Tensor:
    return states[:, :16].float()


async def check_contexts(bench: Bench) -> dict[str, object]:
    """Measure contexts of 2,048 tokens, and a fork and a question of 64 for many texts at once."""
    _, flops = rates(bench)
    model = make(bench, bench.size)
    parameters = sum(weights.numel() for weights in model.parameters())
    figures: dict[str, object] = {"device.tflop_per_s": flops / 1e12}
    async with served(model, options(bench)) as local:
        count = 16 if bench.device.type == "cuda" else 2
        seconds = []
        for _ in range(REPEATS):
            local.engine.memory.drop_resting()
            sessions = [open_text(local, ids) for ids in prompts(model, count, bench.context)]
            seconds.append(await _seconds(bench, sessions, 1))
            for session in sessions:
                session.close()
        speed = count * bench.context / median(seconds)
        figures["prefill.tokens_per_s"] = speed
        figures["prefill.share_of_limit"] = 2 * parameters * speed / flops
        figures["cache.bytes_over_predicted"] = _bytes_per_token(local) / token_bytes(model)
        texts = 32 if bench.device.type == "cuda" else 3
        sessions = [open_text(local, ids) for ids in prompts(model, texts, bench.context)]
        await write_each(sessions, 2)
        question = " 1" * 64
        figures["fork_judge.question_tokens"] = len(
            TOKENIZER.encode(question, add_special_tokens=False)
        )
        times = []
        for _ in range(2 * REPEATS):
            synchronise(bench)
            started = perf_counter()
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(session.judge, question, ("1", "2"))
            times.append(perf_counter() - started)
        figures["fork_judge.ms"] = 1e3 * median(times)
        figures["fork_judge.texts"] = texts
    free(bench)
    return figures


def _bytes_per_token(local: LocalModel) -> float:
    passes = local.engine.passes
    assert isinstance(passes, PagedPasses), "it was asked for"
    return passes.launcher.pool.nbytes / passes.memory.most_tokens


async def _seconds(bench: Bench, sessions: Sequence[LocalSession], tokens: int) -> float:
    synchronise(bench)
    started = perf_counter()
    await write_each(sessions, tokens)
    synchronise(bench)
    return perf_counter() - started


async def check_theirs(bench: Bench) -> dict[str, object]:
    """Measure the general path, and transformers' generate and continuous batching."""
    model = make(bench, bench.size)
    figures: dict[str, object] = {}
    for texts in (1, 32) if bench.device.type == "cuda" else (1, 3):
        todo = prompts(model, texts, bench.context)
        async with served(model, options(bench)) as local:
            # Once for what is captured and compiled.
            await _whole(bench, local, todo)
            ours = await _whole(bench, local, todo)
        figures[f"{texts}.whole_s"] = ours
        async with served(model, options(bench, engine="packed"), cache_gib=24.0) as local:
            sessions = [open_text(local, ids) for ids in todo]
            await write_each(sessions, 1)
            forwards = local.engine.forwards
            started = perf_counter()
            await write_each(sessions, THEIR_STEPS)
            spent = perf_counter() - started
            figures[f"{texts}.general_step_ms"] = 1e3 * spent / (local.engine.forwards - forwards)
            for session in sessions:
                session.close()
        model.set_attn_implementation("sdpa")
        figures[f"{texts}.generate_s"] = theirs = _generate_seconds(bench, model, todo)
        figures[f"{texts}.over_generate"] = theirs / ours
        free(bench)
    figures |= _continuous(bench, model)
    return figures


async def _whole(bench: Bench, local: LocalModel, todo: list[list[int]]) -> float:
    """Return the seconds of whole answers, contexts included."""
    local.engine.memory.drop_resting()
    sessions = [open_text(local, ids, NO_SIGNALS) for ids in todo]
    synchronise(bench)
    started = perf_counter()
    async with anyio.create_task_group() as group:
        for session in sessions:
            group.start_soon(session.generate, Until(64), GREEDY)
    spent = perf_counter() - started
    for session in sessions:
        session.close()
    return spent


@torch.inference_mode()
def _generate_seconds(bench: Bench, model: PreTrainedModel, todo: list[list[int]]) -> float:
    """Return the seconds of whole answers of 64 tokens, from a few steps of generate."""
    ids = torch.tensor(todo, device=model.device)
    mask = torch.ones_like(ids)
    times = []
    for new in (1, 1 + THEIR_STEPS):
        synchronise(bench)
        started = perf_counter()
        model.generate(  # type: ignore[operator]  # transformers' mixin
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0
        )
        synchronise(bench)
        times.append(perf_counter() - started)
    return times[0] + 63 * (times[1] - times[0]) / THEIR_STEPS


def _continuous(bench: Bench, model: PreTrainedModel) -> dict[str, object]:
    texts = 32 if bench.device.type == "cuda" else 2
    model.set_attn_implementation("paged|sdpa")
    asked = GenerationConfig(
        max_new_tokens=16, do_sample=False, eos_token_id=-1, pad_token_id=0, use_cache=True
    )
    started = perf_counter()
    found = model.generate_batch(  # type: ignore[operator]  # transformers' mixin
        inputs=prompts(model, texts, bench.context), generation_config=asked
    )
    tokens = sum(len(one.generated_tokens) for one in found.values())
    return {"continuous_batching.tokens_per_s": tokens / (perf_counter() - started)}
