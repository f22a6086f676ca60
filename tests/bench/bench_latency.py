"""How much of a slow mentor's latency is hidden behind the generator's own work."""

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio
import torch
from bench_models import SMALL
from bench_server import canned
from transformers import AutoModelForCausalLM, AutoTokenizer

from collab import Controller, Problem, Recipe
from collab.proposals import Until
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR, MENTOR
from collab.units import TokenUnit
from collab.verdicts import Abstain, Verdict
from collab.views import ViewOptions
from collab_backends.local.backend import LocalTorch
from collab_backends.remote.backend import OpenAIServer
from collab_backends.tokenizing.sources import resolve
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions

MENTOR_S = 0.2
PROBLEMS, TOKENS = 32, 96
REPEATS = 2
ALONE = Recipe(policy=Never(), unit=TokenUnit(size=2), max_answer_tokens=TOKENS)


class KeepOwn(Verifier):
    """The generator's proposal stands, once both are there."""

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return _KeepOwn()


class _KeepOwn(VerifierSession):
    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        return Verdict(GENERATOR, why="always its own")


def measure_latency() -> dict[str, float]:
    """Measure with a random generator of 85 M, none of what the mentor says being adopted.

    `remote.hidden_latency_ratio`: wall time of 32 problems together with a mentor of 200 ms, asked
    at 0.24 of all pairs of tokens, over the generator alone; `remote.hidden_latency_ratio_1`:
    one at a time, where nothing but its look-ahead of 16 tokens hides the wait.
    `remote.hidden_latency_calls`: of the mentor, per problem.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        _write_generator(Path(folder))
        return anyio.run(_measure, folder)


async def _measure(folder: str) -> dict[str, float]:
    asking = replace(
        ALONE,
        policy=RandomPositions(rate=0.24),
        verifiers=(KeepOwn(),),
        segment=Until(16),
    )
    generator = LocalTorch(model=folder, threads=1, view=ViewOptions(template="raw"))
    async with canned(MENTOR_S) as url:
        mentor = OpenAIServer(model="m", base_url=(url,), mode="text")
        async with (
            Controller(generator=generator, recipe=ALONE) as alone,
            Controller(generator=generator, mentor=mentor, recipe=asking) as asked,
        ):
            figures = {}
            for name, count, together in (("", PROBLEMS, PROBLEMS), ("_1", 4, 1)):
                await _solved(alone, 1, 1)
                ratios, calls = [], 0
                for _ in range(REPEATS):
                    base, _ = await _solved(alone, count, together)
                    wall, calls = await _solved(asked, count, together)
                    ratios.append(wall / base)
                figures[f"remote.hidden_latency_ratio{name}"] = median(ratios)
                figures[f"remote.hidden_latency_calls{name}"] = calls / count
            return figures


async def _solved(controller: Controller, count: int, together: int) -> tuple[float, int]:
    """Return wall seconds, and how often the mentor was called."""
    prompts = [f"Problem {number}: what is {number} times {number}?" for number in range(count)]
    calls = 0
    started = perf_counter()
    async with controller.map(prompts, concurrency=together) as results:
        async for result in results:
            usage = result.raise_for_error().usage
            calls += usage[MENTOR].calls if MENTOR in usage else 0
    return perf_counter() - started, calls


def _write_generator(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve("lab/generator"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = type(SMALL)(**{**SMALL.to_dict(), "vocab_size": len(tokenizer)})
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
