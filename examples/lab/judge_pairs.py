"""Choices met on the way: where the mentor wants another word, and where either way leads."""

import argparse
import json
import random
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from task import Problem, Split, boxed_answer, canonical_question, sample_problem
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from collab_backends.lab import LAB_FOLDER

SEGMENT_TOKENS = 16
OPERATIONS = (2, 6)
TRACE_TOKENS = 110
BATCH_PROBLEMS = 125
BRANCHES_PER_TRACE = 2
TEMPERATURE = 0.8


@dataclass(frozen=True, slots=True)
class Pair:
    """A branch of which exactly one way leads to the right answer.

    Attributes:
        text: Prompt and trace up to the branch, which is at the start of a word.
        right: The segment behind which the generator alone comes to the right answer.
        wrong: The other one.
        is_mentors: Whether the right one is the mentor's.
    """

    text: str
    right: str
    wrong: str
    is_mentors: bool


@dataclass(frozen=True, slots=True)
class _Branch:
    problem: Problem
    text: str
    own: str


@dataclass(frozen=True, slots=True)
class Models:
    """Both models, with the tokenizer that they share."""

    generator: PreTrainedModel
    mentor: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def main() -> None:
    """Collect pairs as the command line asks and write them as lines of JSON."""
    args = _parse_arguments()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(args.generator)
    models = Models(_loaded(args.generator), _loaded(args.mentor), tokenizer)
    shipped = (LAB_FOLDER / "problems.jsonl").read_text(encoding="utf-8").splitlines()
    left_out = {canonical_question(json.loads(line)["prompt"]) for line in shipped}
    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    pairs: list[Pair] = []
    for first in range(0, args.traces, BATCH_PROBLEMS):
        count = min(BATCH_PROBLEMS, args.traces - first)
        pairs += collect_pairs(models, fresh_problems(rng, count, args.split, left_out), rng)
        print(f"{first + count} traces, {len(pairs)} pairs", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(asdict(pair))}\n" for pair in pairs)
    args.out.write_text(lines, encoding="utf-8")


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file."""
    return [Pair(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def fresh_problems(
    rng: random.Random, count: int, split: Split, left_out: Collection[str]
) -> list[Problem]:
    """Return random problems of one side of the split, none of them among `left_out`."""
    problems: list[Problem] = []
    while len(problems) < count:
        problem = sample_problem(rng, rng.randint(*OPERATIONS), split=split)
        if canonical_question(problem.prompt) not in left_out:
            problems.append(problem)
    return problems


def collect_pairs(models: Models, problems: Sequence[Problem], rng: random.Random) -> list[Pair]:
    """Return the pairs found along one trace of each problem.

    The generator samples its traces, so that it errs more often than when it is greedy. The mentor
    reads them; up to two places where it wants another token are taken back to the start of
    their word. From there it writes a segment greedily. Behind both segments the generator writes
    greedily to the end. Where both ways come to the right answer, or neither, the branch is left
    out.
    """
    branches = _branches(models, problems, rng)
    texts = [one.text for one in branches]
    offered = _written(models.mentor, models.tokenizer, texts, SEGMENT_TOKENS)
    own_is_right = _leads_there(models, branches, [one.own for one in branches])
    offered_is_right = _leads_there(models, branches, offered)
    pairs: list[Pair] = []
    for branch, theirs, is_own, is_theirs in zip(
        branches, offered, own_is_right, offered_is_right, strict=True
    ):
        if is_own != is_theirs:
            right, wrong = (theirs, branch.own) if is_theirs else (branch.own, theirs)
            pairs.append(Pair(branch.text, right, wrong, is_theirs))
    return pairs


@torch.inference_mode()
def _branches(models: Models, problems: Sequence[Problem], rng: random.Random) -> list[_Branch]:
    prompts = [problem.prompt for problem in problems]
    traces = _written(models.generator, models.tokenizer, prompts, TRACE_TOKENS, TEMPERATURE)
    branches: list[_Branch] = []
    for problem, trace in zip(problems, traces, strict=True):
        prompt_ids = models.tokenizer(problem.prompt)["input_ids"]
        ids = models.tokenizer(trace)["input_ids"]
        logits = models.mentor(input_ids=torch.tensor([prompt_ids + ids])).logits[0]  # (T, V)
        wanted = logits[len(prompt_ids) - 1 : -1].argmax(-1).tolist()
        pieces = [models.tokenizer.decode([one]) for one in ids]
        places = {
            _word_start(pieces, place)
            for place, (mine, theirs) in enumerate(zip(ids, wanted, strict=True))
            if mine != theirs
        }
        for place in rng.sample(sorted(places), min(BRANCHES_PER_TRACE, len(places))):
            segment = "".join(pieces[place : place + SEGMENT_TOKENS])
            branches.append(_Branch(problem, problem.prompt + "".join(pieces[:place]), segment))
    return branches


def _word_start(pieces: Sequence[str], place: int) -> int:
    while place > 0 and pieces[place][:1] not in (" ", "\n"):
        place -= 1
    return place


def _leads_there(
    models: Models, branches: Sequence[_Branch], segments: Sequence[str]
) -> list[bool]:
    texts = [branch.text + segment for branch, segment in zip(branches, segments, strict=True)]
    rests = _written(models.generator, models.tokenizer, texts, TRACE_TOKENS)
    return [
        boxed_answer(text.removeprefix(branch.problem.prompt) + rest) == branch.problem.answer
        for branch, text, rest in zip(branches, texts, rests, strict=True)
    ]


@torch.inference_mode()
def _written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    most: int,
    temperature: float = 0.0,
) -> list[str]:
    """Return what the model writes behind each text, greedily at temperature 0."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), padding=True, padding_side="left", return_tensors="pt")
    sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
    output = model.generate(
        input_ids=encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        max_new_tokens=most,
        **sampling,
    )
    return tokenizer.batch_decode(
        output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True
    )


def _loaded(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--traces", type=int, default=3_000, help="how many to look along")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--generator", type=Path, default=LAB_FOLDER / "generator")
    parser.add_argument("--mentor", type=Path, default=LAB_FOLDER / "mentor")
    return parser.parse_args()


if __name__ == "__main__":
    main()
