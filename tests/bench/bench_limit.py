"""How near decoding comes to what the machine can do at all."""

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

import anyio
import torch
from bench_models import Task, cached, served, small_model, tasks
from support.limits import read_bytes, read_parameters
from torch.nn.functional import linear
from transformers import PreTrainedModel

from collab_backends.local.model import LocalModel

STEPS = 16
REPEATS = 5


def measure_limit() -> dict[str, float]:
    """Measure decoding steps of a random Qwen3 of 100 M, in float32 on one thread.

    The limit of a step is the longer of two times: reading the weights and the caches once, at the
    machine's rate of reading, and multiplying, at its rate of multiplying; both rates are measured
    here. `engine.limit_batchN`: that limit over the step's CPU time.
    """
    torch.set_num_threads(1)
    return anyio.run(_measure, small_model())


async def _measure(model: PreTrainedModel) -> dict[str, float]:
    bandwidth = _bytes_per_second()
    figures: dict[str, float] = {}
    async with served(model) as local:
        for batch in (1, 32):
            todo = tasks(model, batch, 1, 1)
            step = await _step_seconds(local, todo)
            limit = limit_seconds(model, todo, bandwidth, _flops_per_second(batch))
            figures[f"engine.limit_batch{batch}"] = limit / step
    return figures


async def _step_seconds(local: LocalModel, todo: Sequence[Task]) -> float:
    async with cached(local, todo) as write_each:
        started, forwards = process_time(), local.engine.forwards
        await write_each(1 + STEPS)
        return (process_time() - started) / (local.engine.forwards - forwards)


def limit_seconds(
    model: PreTrainedModel, todo: Sequence[Task], bandwidth: float, flops: float
) -> float:
    """Return the least time of one decoding step, from bytes per second and flops per second."""
    reading = read_bytes(model, sum(len(task.ids) for task in todo)) / bandwidth
    return max(reading, 2 * read_parameters(model) * len(todo) / flops)


def _bytes_per_second() -> float:
    block = torch.ones(100_000_000)
    return 4e8 / _median_seconds(lambda: block.sum())


def _flops_per_second(rows: int) -> float:
    """Return the rate of the products that a step consists of, for that many rows."""
    inputs, weights = torch.ones(max(rows, 64), 768), torch.ones(2304, 768)
    return 2 * inputs.numel() * 2304 / _median_seconds(lambda: linear(inputs, weights), 200)


def _median_seconds(work: Callable[[], object], inner: int = 1) -> float:
    times = []
    for _ in range(REPEATS):
        started = process_time()
        for _ in range(inner):
            work()
        times.append((process_time() - started) / inner)
    return median(times)
