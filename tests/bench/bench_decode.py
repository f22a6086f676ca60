"""Plain decoding: the local engine beside transformers' generate and its continuous batching.

All are given the same prompts and wanted lengths; tokens counted are those that were wanted. Times
are CPU seconds of one thread.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import process_time

import anyio
import torch
from bench_models import Task, lab_model, served, small_model, tasks, write_all
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel

from collab_backends.local.model import LocalModel


def measure_decoding() -> dict[str, float]:
    """Measure tokens per second over transformers', on the lab's mentor and a model of 100 M.

    `engine.batchN_vs_generate`: of N problems together, over `generate` with left padding.
    `engine.batch32_vs_cb`: over transformers' continuous batching, lab model only.
    Figures named `small.` are of the larger model.
    """
    torch.set_num_threads(1)
    figures = anyio.run(_measure_model, lab_model(), 16, 128, 3)
    small = anyio.run(_measure_model, small_model(), 16, 64, 1)
    return figures | {f"small.{name}": value for name, value in small.items()}


async def _measure_model(
    plain: PreTrainedModel, shortest: int, longest: int, repeats: int
) -> dict[str, float]:
    figures: dict[str, float] = {}
    todo: list[Task] = []
    async with served(copy.deepcopy(plain)) as local:
        for count in (1, 8, 32):
            todo = tasks(plain, count, shortest, longest)
            # Side by side: each repeat runs one after the other, so noise meets both alike.
            pairs = [
                (_timed(partial(generate, plain, todo)), await _engine(local, todo))
                for _ in range(repeats)
            ]
            figures[f"engine.batch{count}_vs_generate"] = median(a / b for a, b in pairs)
        if longest > 64:
            together = median([await _engine(local, todo) for _ in range(repeats)])
            figures["engine.batch32_vs_cb"] = _timed(partial(_continuous, plain, todo)) / together
    return figures


def _timed(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started


async def _engine(local: LocalModel, todo: Sequence[Task]) -> float:
    started = process_time()
    await write_all(local, todo)
    return process_time() - started


@torch.inference_mode()
def generate(plain: PreTrainedModel, todo: Sequence[Task]) -> None:
    """Have all tasks done by transformers' generate, in one batch padded on the left."""
    longest = max(len(task.ids) for task in todo)
    ids = torch.zeros(len(todo), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, task in enumerate(todo):
        ids[row, longest - len(task.ids) :] = torch.tensor(task.ids)
        mask[row, longest - len(task.ids) :] = 1
    ids, mask = ids.to(plain.device), mask.to(plain.device)
    plain.generate(  # type: ignore[operator]  # transformers' mixin
        ids, attention_mask=mask, max_new_tokens=max(task.new for task in todo), do_sample=False
    )


def _continuous(plain: PreTrainedModel, todo: Sequence[Task]) -> None:
    settings = GenerationConfig(
        do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=max(t.new for t in todo)
    )
    pages = ContinuousBatchingConfig(page_size=32, num_blocks=1_024, max_batch_tokens=512)
    with plain.continuous_batching_context_manager(  # type: ignore[operator]  # transformers' mixin
        generation_config=settings, continuous_batching_config=pages, block=True, timeout=5
    ) as manager:
        for number, task in enumerate(todo):
            manager.add_request(list(task.ids), request_id=str(number), max_new_tokens=task.new)
        for _ in todo:
            if manager.get_result(timeout=600) is None:
                raise RuntimeError("continuous batching did not finish")
