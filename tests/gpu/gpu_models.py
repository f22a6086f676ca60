"""What the checks run on: random models of real sizes, and how they are served."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import anyio
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, Qwen3Config

from collab.proposals import Sampling, Until
from collab.signals import NO_SIGNALS, Signals
from collab_backends.local.draws import RandomStream
from collab_backends.local.engines import EngineOptions
from collab_backends.local.loading import prepare
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession
from collab_backends.tokenizing.sources import resolve

GREEDY = Sampling()
_COMMON: dict[str, Any] = {
    "head_dim": 128,
    "num_key_value_heads": 8,
    "max_position_embeddings": 16_384,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
}
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 1_000,
    },
    "1.7b": {
        "hidden_size": 2_048,
        "intermediate_size": 6_144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4_096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "vocab_size": 151_936,
        "tie_word_embeddings": False,
    },
}


@dataclass(slots=True)
class Bench:
    """What is asked of the checks.

    Attributes:
        device: Where they run.
        size: Of the small model.
        big: Of the large one; empty for none.
        context: Tokens of a text.
        steps: Decoding steps of one measurement.
    """

    device: torch.device
    size: str
    big: str
    context: int
    steps: int

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of texts at once."""
        return (1, 8, 32, 128) if self.device.type == "cuda" else (1, 3)


def make(bench: Bench, size: str, *, seed: int = 1) -> PreTrainedModel:
    """Return a random Qwen3 of some size, in bfloat16."""
    torch.manual_seed(seed)
    with torch.device(bench.device):
        model = AutoModelForCausalLM.from_config(
            Qwen3Config(**(_COMMON | SIZES[size])), dtype=torch.bfloat16
        )
    model.train(mode=False)
    model.generation_config.eos_token_id = None
    found: PreTrainedModel = model
    return found


def speak(model: PreTrainedModel) -> PreTrainedModel:
    """Have a random model write ids that the tokenizer has texts for.

    The others' rows of the head are zeros; the products are as large as ever.
    """
    head = model.get_output_embeddings().weight
    assert isinstance(head, torch.Tensor)
    # Tokens of part of a character have no text by themselves.
    texts = [TOKENIZER.decode([one], skip_special_tokens=True) for one in range(len(TOKENIZER))]
    told = [one for one, text in enumerate(texts) if text.strip() and text.isascii()]
    silent = torch.ones(len(head), dtype=torch.bool)
    silent[told] = False
    with torch.no_grad():
        head[silent.to(head.device)] = 0
    return model


TOKENIZER: Any = AutoTokenizer.from_pretrained(resolve("lab/mentor"))


def options(bench: Bench, **wanted: Any) -> EngineOptions:
    """Return how to serve: over pages, or with an error."""
    return EngineOptions(**({"engine": "paged"} | wanted))


@asynccontextmanager
async def served(
    model: PreTrainedModel, wanted: EngineOptions, cache_gib: float | None = None
) -> AsyncIterator[LocalModel]:
    """Serve a model; no token ends a text."""
    loaded = prepare(model, TOKENIZER, "random", cache_gib=cache_gib, options=wanted)
    local = LocalModel("random", loaded)
    local.seat = replace(local.seat, end_ids=frozenset())
    async with local.serving():
        yield local


def open_text(
    local: LocalModel, ids: Sequence[int], signals: Signals = NO_SIGNALS, seed: int = 0
) -> LocalSession:
    """Open a session after token ids; close it yourself."""
    return LocalSession(local.seat, "generator", ids, rng=RandomStream(seed), signals=signals)


def prompts(model: PreTrainedModel, count: int, tokens: int) -> list[list[int]]:
    """Return `count` prompts of random tokens, that have no beginning in common."""
    rng = random.Random(count)
    vocabulary = int(model.config.get_text_config().vocab_size)
    return [[rng.randrange(2, vocabulary) for _ in range(tokens)] for _ in range(count)]


async def write_each(sessions: Sequence[LocalSession], tokens: int) -> None:
    """Grow all texts by `tokens` tokens, at the same time."""

    async def write(session: LocalSession) -> None:
        proposal = await session.generate(Until(tokens), GREEDY)
        # What is not committed would be replayed by the next call.
        session.commit(len(proposal.tokens))

    async with anyio.create_task_group() as group:
        for session in sessions:
            group.start_soon(write, session)


async def step_seconds(local: LocalModel, sessions: Sequence[LocalSession], bench: Bench) -> float:
    """Return the seconds of one decoding step of texts that are cached already."""
    await write_each(sessions, 9)
    times = []
    for _ in range(3):
        forwards = local.engine.forwards
        synchronise(bench)
        started = perf_counter()
        await write_each(sessions, bench.steps)
        synchronise(bench)
        times.append((perf_counter() - started) / (local.engine.forwards - forwards))
    return median(times)


def synchronise(bench: Bench) -> None:
    """Wait until the device has nothing to do."""
    if bench.device.type == "cuda":
        torch.cuda.synchronize(bench.device)


def free(bench: Bench) -> None:
    """Give back memory that nobody uses."""
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()


def rates(bench: Bench) -> tuple[float, float]:
    """Return the device's rates of reading and multiplying, in bytes and operations per second."""
    is_cuda = bench.device.type == "cuda"
    side, times = 8_192 if is_cuda else 512, 10 if is_cuda else 1
    block = torch.ones(512_000_000 if is_cuda else 25_000_000, device=bench.device)
    square = torch.randn(side, side, device=bench.device, dtype=torch.bfloat16)

    def seconds(work: Any) -> float:
        synchronise(bench)
        started = perf_counter()
        for _ in range(times):
            work()
        synchronise(bench)
        return (perf_counter() - started) / times

    reading = median(seconds(lambda: block.sum()) for _ in range(9))
    multiplying = median(seconds(lambda: square @ square) for _ in range(9))
    return 4 * block.numel() / reading, 2 * side**3 / multiplying
