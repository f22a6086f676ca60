"""What `mentorcollab-free` costs beside the work that nobody can avoid, and beside its oracle."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter, process_time

import anyio
import torch
from support.mentorcollab_oracle import GivenDraws, TextModel, load_text_model, mentorcollab
from transformers import PreTrainedTokenizerFast

from collab import Controller, Problem, Recipe, Result
from collab.proposals import Sampling, Until
from collab.roles import GENERATOR, MENTOR
from collab.seam import Model
from collab.trace import Verified
from collab.usage import Usage
from collab.views import View, ViewOptions
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_backends.local.model import LocalModel
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.never import Never
from collab_policies.self_judge import CUE

RAW = ViewOptions(template="raw")
PROBLEMS, NEW_TOKENS, RATE = 14, 256, 0.24
TOGETHER = 32
GOLDEN, GOLDEN_TOKENS = 100, 128
ORACLE, ORACLE_TOKENS = 3, 48
JUDGED = 20


class Endless(LocalTorch):
    """A local model whose texts nothing but the asked length ends."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        async with super().connect() as model:
            assert isinstance(model, LocalModel)
            model.seat = replace(model.seat, end_ids=frozenset())
            yield model


ALONE = Recipe(policy=Never(), max_answer_tokens=NEW_TOKENS)
FREE = MentorCollabFree(rate=RATE, max_answer_tokens=NEW_TOKENS, repeat_limit=0).recipe()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one problem: CPU seconds, and what came of it."""

    cpu_s: float
    result: Result


def measure_mentorcollab() -> dict[str, float]:
    """Measure on the lab pair, 256 tokens behind prompts of 64 and 512, greedy, segments of 16.

    Medians over problems, one at a time, in CPU seconds of one thread.
    `mentorcollab.overhead_prompt…`: over the unavoidable work: what the generator and the mentor
    decoded and one judge prefill per disagreement, each at its plain cached cost.
    `mentorcollab.cpu_ratio_prompt…`: CPU per output token over the generator's plain decoding;
    `mentorcollab.oracle_cpu_ratio_prompt…`: the same of the uncached oracle.
    `mentorcollab.fed_tokens_per_output_prompt…`: tokens that the generator reads, its prompt aside.
    `mentorcollab.requests_per_consultation_prompt…`: of the mentor.
    `mentorcollab.batch32_speedup`: problems per second, 32 together over one at a time.
    `mentorcollab.golden`: share of 100 problems whose text is the oracle's, draw for draw.
    """
    torch.set_num_threads(1)
    return anyio.run(_measure)


async def _measure() -> dict[str, float]:
    figures: dict[str, float] = {}
    generator, mentor = (
        Endless(model=str(LAB_FOLDER / name), threads=1, view=RAW)
        for name in ("generator", "mentor")
    )
    async with (
        Controller(generator=generator, recipe=ALONE) as alone,
        Controller(generator=mentor, recipe=ALONE) as mentor_alone,
        Controller(generator=generator, mentor=mentor, recipe=FREE) as fast,
    ):
        for length in (64, 512):
            rounds = [
                await _round(number, prompt, generator, (alone, mentor_alone, fast))
                for number, prompt in enumerate(_prompts(length, PROBLEMS + 1))
            ]
            # The first one warms up.
            figures |= {
                f"mentorcollab.{name}_prompt{length}": median(
                    one[name] for one in rounds[1:] if name in one
                )
                for name in rounds[1]
            }
        figures["mentorcollab.batch32_speedup"] = await _batch_speedup(fast)
    return figures | {"mentorcollab.golden": await _golden_share()}


# --- cost -----------------------------------------------------------------------------------


async def _round(
    number: int,
    prompt: str,
    generator: LocalTorch,
    controllers: tuple[Controller, Controller, Controller],
) -> dict[str, float]:
    """Measure one problem every way, one right after the other."""
    # Another id for every way: nothing is taken over from the one before.
    plain, mentors, fast = [
        await _cost(one, Problem(id=f"{number}-{way}", prompt=prompt))
        for way, one in enumerate(controllers)
    ]
    judge_s = await _judge_s(generator, prompt)
    unit_s = plain.cpu_s / NEW_TOKENS, mentors.cpu_s / NEW_TOKENS, judge_s
    figures = _ratios(fast, unit_s)
    if number < ORACLE:
        figures["oracle_cpu_ratio"] = _oracle_cpu_s(prompt, number) / unit_s[0]
    return figures


async def _cost(controller: Controller, problem: Problem) -> Cost:
    before = process_time()
    result = await controller.solve(problem)
    return Cost(process_time() - before, result.raise_for_error())


def _ratios(cost: Cost, unit_s: tuple[float, float, float]) -> dict[str, float]:
    generator_s, mentor_s, judge_s = unit_s
    calls = cost.result.calls
    judged = sum(call.purpose == "judge" for call in calls)
    written = [call for call in calls if call.purpose != "judge"]
    own = Usage.of(call for call in written if call.role == GENERATOR)
    offered = Usage.of(call for call in written if call.role == MENTOR)
    unavoidable = (
        own.completion_tokens * generator_s
        + offered.completion_tokens * mentor_s
        + judged * judge_s
    )
    output = sum(span.tokens for span in cost.result.spans)
    all_own = [call for call in calls if call.role == GENERATOR]
    read = sum(call.fresh_tokens + call.completion_tokens for call in all_own)
    consultations = sum(isinstance(event, Verified) for event in cost.result.events)
    return {
        "overhead": cost.cpu_s / unavoidable,
        "cpu_ratio": cost.cpu_s / output / generator_s,
        "fed_tokens_per_output": (read - all_own[0].fresh_tokens) / output,
        "requests_per_consultation": offered.calls / max(consultations, 1),
    }


async def _judge_s(generator: LocalTorch, prompt: str) -> float:
    """Return CPU seconds of a question about two segments behind a cached text."""
    async with generator.connect() as model:
        async with model.open(View(GENERATOR, prompt, RAW), seed=0) as session:
            written = await session.generate(Until(NEW_TOKENS // 2), Sampling())
            session.commit(len(written.tokens))
            segment = "".join(token.text for token in written.tokens[:16])
            question = CUE.replace("{a}", segment).replace("{b}", segment)
            await session.judge(question, ("A", "B"))
            before = process_time()
            for _ in range(JUDGED):
                await session.judge(question, ("A", "B"))
            return (process_time() - before) / JUDGED


async def _batch_speedup(fast: Controller) -> float:
    prompts = _prompts(64, TOGETHER)
    seconds = []
    for together in (1, TOGETHER):
        before = perf_counter()
        async with fast.map(prompts, concurrency=together) as results:
            async for result in results:
                result.raise_for_error()
        seconds.append(perf_counter() - before)
    return seconds[0] / seconds[1]


# --- the oracle -----------------------------------------------------------------------------


def _oracle_cpu_s(prompt: str, number: int) -> float:
    """Return the oracle's CPU seconds per output token; nothing but the length ends its text."""
    pair = _text_models()
    for one in pair:
        one.tokenizer.eos_token = None
    before = process_time()
    _published(prompt, *pair, str(number), ORACLE_TOKENS)
    return (process_time() - before) / ORACLE_TOKENS


async def _golden_share() -> float:
    generator, mentor = (
        LocalTorch(model=str(LAB_FOLDER / name), threads=1, view=RAW)
        for name in ("generator", "mentor")
    )
    free = MentorCollabFree(rate=RATE, max_answer_tokens=GOLDEN_TOKENS).recipe()
    recipe = replace(free, policy=GivenDraws(rate=RATE))
    problems = [Problem(id=str(n), prompt=p) for n, p in enumerate(_prompts(1, GOLDEN))]
    async with Controller(generator=generator, mentor=mentor, recipe=recipe) as controller:
        async with controller.map(problems, concurrency=TOGETHER) as results:
            fast = {one.problem.id: one.raise_for_error().text async for one in results}
    pair = _text_models()
    equal = sum(
        _published(one.text, *pair, one.id, GOLDEN_TOKENS) == fast[one.id] for one in problems
    )
    return equal / len(problems)


def _published(
    prompt: str, generator: TextModel, mentor: TextModel, seed: str, max_tokens: int
) -> str:
    return mentorcollab(
        prompt,
        generator,
        mentor,
        rng=random.Random(seed),
        rate=RATE,
        cue=CUE,
        reading="likeliest",
        max_tokens=max_tokens,
    )


def _text_models() -> tuple[TextModel, TextModel]:
    return load_text_model(LAB_FOLDER / "generator"), load_text_model(LAB_FOLDER / "mentor")


def _prompts(tokens: int, count: int) -> list[str]:
    """Return prompts of at least so many tokens: problems of the lab, one behind the other."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(LAB_FOLDER / "generator")
    lines = (LAB_FOLDER / "problems.jsonl").read_text().splitlines()
    asked = [f"{json.loads(line)['prompt']}\n\n" for line in lines]
    prompts = []
    for first in range(count):
        last = first + 1
        while len(tokenizer("".join(asked[first:last])).input_ids) < tokens:
            last += 1
        prompts.append("".join(asked[first:last]))
    return prompts
