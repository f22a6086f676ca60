"""What the engine's benchmarks run on: two models, and prompts and answers of unequal length."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, Qwen3Config

from collab.proposals import Sampling, Until
from collab.signals import NO_SIGNALS, Signals
from collab_backends.local.draws import RandomStream
from collab_backends.local.loading import prepare
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession
from collab_backends.tokenizing.sources import resolve

GREEDY = Sampling()
SMALL = Qwen3Config(
    hidden_size=768,
    intermediate_size=2304,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=4,
    head_dim=64,
    vocab_size=32_000,
    max_position_embeddings=4_096,
    tie_word_embeddings=True,
    eos_token_id=None,
    bos_token_id=None,
    pad_token_id=0,
)


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, and how many tokens are to follow it."""

    ids: tuple[int, ...]
    new: int


def lab_model() -> PreTrainedModel:
    """Return the shipped mentor, 0.48 M parameters."""
    return _neutral(
        AutoModelForCausalLM.from_pretrained(resolve("lab/mentor"), dtype=torch.float32)
    )


def small_model(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return a random Qwen3 of about 100 M parameters."""
    torch.manual_seed(1)
    return _neutral(AutoModelForCausalLM.from_config(SMALL, dtype=dtype))


def thin_model() -> PreTrainedModel:
    """Return a random Qwen3 of as many blocks as the small one, but only 64 wide."""
    torch.manual_seed(1)
    config = Qwen3Config(
        **SMALL.to_dict()
        | {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "vocab_size": 512}
        | {"num_key_value_heads": 1, "head_dim": 32}
    )
    return _neutral(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def tasks(model: PreTrainedModel, count: int, shortest: int, longest: int) -> list[Task]:
    """Return `count` prompts of 300 to 600 random tokens with answers of unequal length."""
    rng = random.Random(count)
    vocabulary = int(model.config.vocab_size)
    return [
        Task(
            tuple(rng.randrange(2, vocabulary) for _ in range(rng.randrange(300, 601))),
            rng.randrange(shortest, longest + 1),
        )
        for _ in range(count)
    ]


@asynccontextmanager
async def served(model: PreTrainedModel, **options: Any) -> AsyncIterator[LocalModel]:
    """Serve a model with the local engine; the tokenizer does not matter here."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("lab/mentor"))
    loaded = prepare(model, tokenizer, "bench")  # type: ignore[arg-type]  # it is a fast one
    local = LocalModel("bench", loaded, **options)
    # The tokenizer's end of text must not end a benchmark.
    local.seat = replace(local.seat, end_ids=frozenset())
    async with local.serving():
        yield local


def open_session(
    local: LocalModel, ids: Sequence[int], signals: Signals = NO_SIGNALS
) -> LocalSession:
    """Open a session behind token ids; close it yourself."""
    return LocalSession(local.seat, "generator", ids, rng=RandomStream(0), signals=signals)


async def write(local: LocalModel, task: Task) -> list[int]:
    """Have a task's answer written, and return its ids."""
    session = open_session(local, task.ids)
    try:
        written = await session.generate(Until(task.new), GREEDY)
    finally:
        session.close()
    return [token.id for token in written.tokens]


async def write_all(local: LocalModel, todo: Sequence[Task]) -> None:
    """Have all tasks' answers written at the same time, with nothing cached before."""
    local.engine.memory.drop_resting()
    async with anyio.create_task_group() as group:
        for task in todo:
            group.start_soon(write, local, task)


@asynccontextmanager
async def cached(
    local: LocalModel, todo: Sequence[Task]
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Open the tasks' texts and compute them; yield what has all of them write so many tokens."""
    sessions = [open_session(local, task.ids) for task in todo]

    async def write_each(new: int) -> None:
        async with anyio.create_task_group() as group:
            for session in sessions:
                group.start_soon(session.generate, Until(new), GREEDY)

    await write_each(1)
    yield write_each
    for session in sessions:
        session.close()


def _neutral(model: PreTrainedModel) -> PreTrainedModel:
    """Let nothing but the asked length end a text."""
    model.train(mode=False)
    model.generation_config.eos_token_id = None
    return model
