"""The local engine on a GPU: is it right there, and how near does it come to the hardware?

    python tests/gpu/check_engine.py --out figures.json

Needs torch, transformers and this repository on the path (`pip install -e '.[local]'`), no network:
all models are random. `--device cpu --size tiny` tries the script itself.
"""

import argparse
import json
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio
import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

sys.path.append(str(Path(__file__).parents[1] / "bench"))

from bench_decode import generate
from bench_limit import limit_seconds
from bench_models import GREEDY, SMALL, Task, cached, open_session, served, write_all

from collab.proposals import Until
from collab_backends.local.model import LocalModel

BIG = Qwen3Config(
    **SMALL.to_dict()
    | {
        "hidden_size": 2_048,
        "intermediate_size": 6_144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 16_384,
        "layer_types": None,
    }
)
TINY = Qwen3Config(
    **SMALL.to_dict()
    | {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "layer_types": None}
)
SIZES = {"tiny": TINY, "100m": SMALL, "1.7b": BIG}
STEPS, REPEATS = 32, 3
ULP = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=SIZES, default="1.7b")
    parser.add_argument("--context", type=int, default=2_048)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    figures: dict[str, object] = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "model": f"random Qwen3, {arguments.size}",
        "context": arguments.context,
    }
    for dtype in (torch.float32, torch.bfloat16):
        figures[f"worst_margin.{dtype}"] = anyio.run(_worst_margin, _model(TINY, device, dtype))
    model = _model(SIZES[arguments.size], device, torch.bfloat16)
    figures |= anyio.run(_speed, model, arguments.context)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3g}" if isinstance(value, float) else str(value))
    Console().print(table)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


def _model(config: Qwen3Config, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(1)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.train(mode=False)
    model.generation_config.eos_token_id = None
    found: PreTrainedModel = model
    return found


def _tasks(model: PreTrainedModel, count: int, shortest: int, longest: int) -> list[Task]:
    rng = random.Random(count)
    vocabulary = int(model.config.vocab_size)
    lengths = [rng.randint(shortest, longest) for _ in range(count)]
    return [Task(tuple(rng.randrange(2, vocabulary) for _ in range(n)), STEPS) for n in lengths]


async def _worst_margin(model: PreTrainedModel) -> float:
    """Return by how much the model finds the engine's tokens worse than its own, over what rounding
    explains (8 units in the last place of the largest logit); above 1 the engine is wrong.
    """
    todo = _tasks(model, 8, 20, 90)
    written: dict[int, list[int]] = {}
    async with served(model) as local:

        async def write_one(number: int) -> None:
            session = open_session(local, todo[number].ids)
            proposal = await session.generate(Until(STEPS), GREEDY)
            written[number] = [token.id for token in proposal.tokens]
            session.close()

        async with anyio.create_task_group() as group:
            for number in range(len(todo)):
                group.start_soon(write_one, number)
    model.set_attn_implementation("eager")
    worst = 0.0
    for number, ids in written.items():
        text = torch.tensor([[*todo[number].ids, *ids]], device=model.device)
        with torch.inference_mode():
            logits = model(text).logits[0, -len(ids) - 1 : -1].float()
        chosen = logits.gather(1, torch.tensor(ids, device=model.device)[:, None])[:, 0]
        gap = (logits.max(dim=1).values - chosen).max()
        worst = max(worst, float(gap / (8 * ULP[model.dtype] * logits.abs().max())))
    return worst


async def _speed(model: PreTrainedModel, context: int) -> dict[str, float]:
    """Measure a decoding step of cached texts, and whole answers beside transformers' generate."""
    figures: dict[str, float] = {}
    bandwidth, flops = _rates(model.device, model.dtype)
    for batch in (1, 8, 32):
        todo = _tasks(model, batch, context - 64, context)
        async with served(model) as local:
            step = await _step_seconds(local, todo)
            whole = [await _wall(model, partial(write_all, local, todo)) for _ in range(REPEATS)]
        model.set_attn_implementation("sdpa")
        theirs = [await _wall(model, partial(_generate, model, todo)) for _ in range(REPEATS)]
        figures[f"engine.step_ms_batch{batch}"] = 1e3 * step
        figures[f"engine.limit_batch{batch}"] = limit_seconds(model, todo, bandwidth, flops) / step
        figures[f"engine.batch{batch}_vs_generate"] = median(theirs) / median(whole)
    return figures


async def _step_seconds(local: LocalModel, todo: Sequence[Task]) -> float:
    """Return the seconds of one decoding step of texts that are cached already."""
    times = []
    async with cached(local, todo) as write_each:
        for number in range(1, REPEATS + 1):
            forwards = local.engine.forwards
            seconds = await _wall(
                local.engine.passes.model, partial(write_each, 1 + number * STEPS)
            )
            times.append(seconds / (local.engine.forwards - forwards))
    return median(times)


async def _generate(model: PreTrainedModel, todo: Sequence[Task]) -> None:
    generate(model, todo)


async def _wall(model: PreTrainedModel, work: Callable[[], Awaitable[None]]) -> float:
    _synchronise(model.device)
    started = perf_counter()
    await work()
    _synchronise(model.device)
    return perf_counter() - started


def _rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Return the device's rates of reading and multiplying, in bytes and operations per second."""
    side = 8_192 if device.type == "cuda" else 512
    block = torch.ones(256_000_000 if device.type == "cuda" else 25_000_000, device=device)
    square = torch.ones(side, side, device=device, dtype=dtype)
    reading = median(_seconds(device, lambda: block.sum()) for _ in range(9))
    multiplying = median(_seconds(device, lambda: square @ square) for _ in range(9))
    return 4 * block.numel() / reading, 2 * side**3 / multiplying


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    _synchronise(device)
    started = perf_counter()
    work()
    _synchronise(device)
    return perf_counter() - started


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
