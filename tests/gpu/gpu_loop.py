"""The loop itself: two models on one device, one problem and many at once."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

from gpu_models import SIZES, Bench, free, make, options, served, speak
from transformers import PreTrainedModel

from collab import Controller, Problem, Recipe
from collab.roles import GENERATOR, MENTOR
from collab.seam import Backend, Model
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never
from collab_policies.rank.options import RankOptions, upper_layers
from collab_policies.rankguide_recipe import RankGuideRecipe

RATE = 0.24


class InMemory(Backend):
    """A random model of the checks, as a backend."""

    size: str
    models: ClassVar[dict[str, PreTrainedModel]] = {}
    bench: ClassVar[Bench]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        """Serve the model."""
        wanted = options(self.bench, warms_up=self.bench.device.type == "cuda")
        room = 24.0 if self.bench.device.type == "cuda" else 0.02
        async with served(self.models[self.size], wanted, cache_gib=room) as local:
            yield local


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run: output tokens a second, and the mentor's tokens for each of them.

    `mentor_share` are those that stand in the texts, `mentor_decoded` all that it wrote.
    """

    tokens_per_s: float
    mentor_share: float
    mentor_decoded: float


async def check_loop(bench: Bench) -> dict[str, object]:
    """Measure `mentorcollab-free` and `rankguide` beside the generator alone, greedy.

    Random models: the judge's likeliest token is none of its labels, so every proposal is rejected;
    the thresholds of `rankguide` are arbitrary.
    """
    InMemory.bench = bench
    large = bench.big or bench.size
    InMemory.models = {
        "small": speak(make(bench, bench.size)),
        "large": speak(make(bench, large, seed=2)),
    }
    generator, mentor = InMemory(size="small"), InMemory(size="large")
    new = 128
    blocks = int(SIZES[bench.size]["num_hidden_layers"])
    recipes = {
        "alone": Recipe(policy=Never(), max_answer_tokens=new),
        "mentorcollab_free": MentorCollabFree(
            rate=RATE, max_answer_tokens=new, repeat_limit=0, stop_strings=()
        ).recipe(),
        "rankguide": RankGuideRecipe(
            rank=RankOptions(layers=upper_layers(blocks), window=4),
            uncertainty_nats=100.0,
            overconfidence=0.5,
            revalidation=0.1,
            thinking_end=None,
            thinking_tokens=new,
            step_tokens=8,
            repeat_limit=0,
        ).recipe(),
    }
    figures: dict[str, object] = {}
    # What is measured is a loop in which proposals are made and rejected.
    for name, recipe in recipes.items():
        async with Controller(generator=generator, mentor=mentor, recipe=recipe) as controller:
            await _run(controller, 8, "warm")
            for problems in (1, 64) if bench.device.type == "cuda" else (1, 4):
                run = await _run(controller, problems, "timed")
                figures[f"{name}.{problems}.tokens_per_s"] = run.tokens_per_s
                figures[f"{name}.{problems}.mentor_share"] = run.mentor_share
                figures[f"{name}.{problems}.mentor_decoded"] = run.mentor_decoded
                if name == "mentorcollab_free" and problems > 1:
                    figures[f"{name}.{problems}.is_asked"] = run.mentor_decoded > 0
                    figures[f"{name}.{problems}.is_rejected"] = run.mentor_share < 0.02
    for problems in (1, 64) if bench.device.type == "cuda" else (1, 4):
        alone = figures[f"alone.{problems}.tokens_per_s"]
        for name in ("mentorcollab_free", "rankguide"):
            speed = figures[f"{name}.{problems}.tokens_per_s"]
            assert isinstance(speed, float)
            assert isinstance(alone, float)
            figures[f"{name}.{problems}.over_alone"] = speed / alone
    InMemory.models = {}
    free(bench)
    return figures


async def _run(controller: Controller, problems: int, name: str) -> Run:
    todo = [Problem(id=f"{name} {number}", prompt=_prompt(number)) for number in range(problems)]
    started = perf_counter()
    tokens = mentors = decoded = 0
    async with controller.map(todo, concurrency=problems) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            tokens += sum(span.tokens for span in result.spans)
            decoded += result.usage[MENTOR].completion_tokens if MENTOR in result.usage else 0
            mentors += sum(span.tokens for span in result.spans if span.author != GENERATOR)
    return Run(tokens / (perf_counter() - started), mentors / tokens, decoded / tokens)


def _prompt(number: int) -> str:
    rng = random.Random(number)
    sums = "; ".join(f"{rng.randrange(10)} + {rng.randrange(10)}" for _ in range(20))
    return f"Problem {number}. {sums}"
