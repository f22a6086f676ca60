"""The local engine beside transformers' own cached greedy decoding, on the shipped mentor."""

import copy
from statistics import median
from time import process_time

import anyio
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from collab.proposals import Sampling, Until
from collab.views import View, ViewOptions
from collab_backends.local.backend import LocalModel
from collab_backends.local.engine import Engine
from collab_backends.local.loading import prepare, resolve

PROMPT = "Mod 10: s = 3, z = s * 9, y = z - 8, q = y + 4, r = q * 3. What is r?\n\n"
NEW = 128
REPEATS = 5
BATCH = 32


def measure_engine() -> dict[str, float]:
    """Measure one text alone and 32 together.

    `engine.cpu_ratio_single`: CPU time of one text over transformers' generate.
    `engine.batch32_speedup`: tokens per CPU second of 32 texts together over one at a time.
    `engine.forwards_per_token_batch32`: forward passes over tokens decoded.
    """
    torch.set_num_threads(1)
    folder = resolve("lab/mentor")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    plain.generation_config.eos_token_id = None
    return anyio.run(_measure, plain, tokenizer)


async def _measure(plain: torch.nn.Module, tokenizer: object) -> dict[str, float]:
    ids = torch.tensor([tokenizer.encode(PROMPT)])  # type: ignore[attr-defined]  # transformers
    generate = median(_generate_seconds(plain, ids) for _ in range(REPEATS))
    loaded = prepare(copy.deepcopy(plain), tokenizer, "lab/mentor")  # type: ignore[arg-type]
    engine = Engine(loaded.model)
    model = LocalModel("lab/mentor", engine, loaded)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.serve)
        alone = median([await _engine_seconds(model, 1) for _ in range(REPEATS)])
        forwards, decoded = engine.forwards, engine.decoded
        together = median([await _engine_seconds(model, BATCH) for _ in range(REPEATS)])
        engine.close()
    return {
        "engine.cpu_ratio_single": alone / generate,
        "engine.batch32_speedup": alone * BATCH / together,
        "engine.forwards_per_token_batch32": (engine.forwards - forwards)
        / (engine.decoded - decoded),
    }


def _generate_seconds(plain: torch.nn.Module, ids: torch.Tensor) -> float:
    started = process_time()
    plain.generate(  # type: ignore[operator]  # transformers' mixin
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False
    )
    return process_time() - started


async def _engine_seconds(model: LocalModel, texts: int) -> float:
    async def write() -> None:
        view = View("generator", PROMPT, ViewOptions(template="raw"))
        async with model.open(view, seed=0, entropy_top_k=0) as session:
            await session.generate(Until(NEW), Sampling())

    started = process_time()
    async with anyio.create_task_group() as group:
        for _ in range(texts):
            group.start_soon(write)
    return process_time() - started
