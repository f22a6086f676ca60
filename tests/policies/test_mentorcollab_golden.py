"""The fast path of `mentorcollab-free` gives the published algorithm's text, draw for draw."""

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.mentorcollab_oracle import GivenDraws, TextModel, load_text_model, mentorcollab
from support.models import make_model
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from collab import Controller, Problem
from collab.recipes import Recipe
from collab.views import ViewOptions
from collab_backends.lab import LAB_FOLDER
from collab_backends.local.backend import LocalTorch
from collab_policies.mentorcollab_free import MentorCollabFree
from collab_policies.self_judge import CUE, AnswerReading

PROBLEMS = 12
RAW = ViewOptions(template="raw")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Pair:
    generator: Path
    mentor: Path
    prompts: tuple[str, ...]
    max_tokens: int


def lab_prompts() -> tuple[str, ...]:
    lines = (LAB_FOLDER / "problems.jsonl").read_text().splitlines()[:PROBLEMS]
    return tuple(f"{json.loads(line)['prompt']}\n\n" for line in lines)


def letters(characters: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of single characters, so that a text has only one way to be cut."""
    vocabulary = {"<eos>": 0, **{one: n for n, one in enumerate(characters, start=1)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def random_pair(folder: Path) -> Pair:
    """Write two random models that share no ids."""
    characters = "".join(map(chr, range(32, 127))) + "\n"
    for name, order, seed in (("generator", characters, 3), ("mentor", characters[::-1], 4)):
        tokenizer = letters(order)
        make_model(seed=seed, vocabulary=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    prompts = tuple(f"what is {n} times {n + 3}\n" for n in range(PROBLEMS))
    return Pair(folder / "generator", folder / "mentor", prompts, 64)


@pytest.fixture(scope="module", params=["lab", "lab, another tokenizer", "random models"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    if request.param == "random models":
        return random_pair(tmp_path_factory.mktemp("pair"))
    mentor = "mentor" if request.param == "lab" else "mentor-b"
    return Pair(LAB_FOLDER / "generator", LAB_FOLDER / mentor, lab_prompts(), 128)


@pytest.fixture(scope="module")
def oracles(pair: Pair) -> tuple[TextModel, TextModel]:
    return load_text_model(pair.generator), load_text_model(pair.mentor)


def recipe(rate: float, reading: AnswerReading, max_tokens: int) -> Recipe:
    free = MentorCollabFree(rate=rate, reading=reading, max_answer_tokens=max_tokens).recipe()
    return replace(free, policy=GivenDraws(rate=rate))


@pytest.mark.parametrize(
    ("rate", "reading"),
    [(0.0, "likeliest"), (0.24, "likeliest"), (0.24, "share"), (1.0, "likeliest"), (1.0, "share")],
)
async def test_the_text_is_the_published_algorithms(
    pair: Pair, oracles: tuple[TextModel, TextModel], rate: float, reading: AnswerReading
) -> None:
    problems = [Problem(id=f"{rate}-{n}", prompt=p) for n, p in enumerate(pair.prompts)]
    generator, mentor = (
        LocalTorch(model=str(folder), threads=1, view=RAW)
        for folder in (pair.generator, pair.mentor)
    )
    async with Controller(
        generator=generator, mentor=mentor, recipe=recipe(rate, reading, pair.max_tokens)
    ) as controller:
        async with controller.map(problems, concurrency=PROBLEMS) as results:
            fast = {one.problem.id: one.raise_for_error().text async for one in results}

    slow = {
        problem.id: mentorcollab(
            problem.text,
            *oracles,
            rng=random.Random(problem.id),
            rate=rate,
            cue=CUE,
            reading=reading,
            max_tokens=pair.max_tokens,
        )
        for problem in problems
    }
    assert fast == slow
    assert all(fast.values())
