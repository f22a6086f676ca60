"""Measure a lab model on held-out problems: greedy accuracy by number of operations."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import torch
from grading import trace_has_step_error
from judge import judge_table, pairs_table
from judge_pairs import read_pairs
from task import boxed_answer, parse_problem
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from collab_policies.self_judge import CUE

MAX_NEW_TOKENS = 240
BATCH_PROBLEMS = 100
Z_95 = 1.959964
HEADINGS = (
    "operations",
    "N",
    "right",
    "accuracy",
    "95 % interval",
    "right despite a step error",
    "checks",
    "tokens",
)


@dataclass(frozen=True, slots=True)
class Graded:
    """One answered problem."""

    operations: int
    is_right: bool
    has_step_error: bool
    token_count: int
    check_count: int


def main() -> None:
    """Answer every problem of a file greedily and print accuracy by number of operations."""
    args = _parse_arguments()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=getattr(torch, args.dtype))
    model = model.to(args.device).eval()
    if args.pairs:
        print(pairs_table(model, tokenizer, read_pairs(args.pairs), args.cue))
        return
    problems = [json.loads(line) for line in args.problems.read_text("utf-8").splitlines()]
    if args.judge:
        prompts = [problem["prompt"] for problem in problems]
        print(judge_table(model, tokenizer, prompts, args.cue))
        return
    traces = answer(model, tokenizer, [problem["prompt"] for problem in problems])
    answered = [problem | {"trace": trace} for problem, trace in zip(problems, traces, strict=True)]
    print(table([grade(one["prompt"], one["answer"], one["trace"], tokenizer) for one in answered]))
    if args.traces:
        args.traces.write_text("".join(json.dumps(one) + "\n" for one in answered), "utf-8")


def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]
) -> list[str]:
    """Return the greedy continuation of every prompt, without the end token."""
    traces: list[str] = []
    for first in range(0, len(prompts), BATCH_PROBLEMS):
        batch = list(prompts[first : first + BATCH_PROBLEMS])
        encoded = tokenizer(batch, padding=True, padding_side="left", return_tensors="pt")
        ids = encoded["input_ids"].to(model.device)  # (B, T)
        # `generate` is seen as a tensor by the type checker, through `Module.__getattr__`.
        output = model.generate(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=encoded["attention_mask"].to(model.device),
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        traces += tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
    return traces


def grade(prompt: str, truth: str, trace: str, tokenizer: PreTrainedTokenizerBase) -> Graded:
    """Return how one trace did; only its boxed answer decides whether it is right."""
    problem = parse_problem(prompt)
    return Graded(
        operations=len(problem.operations),
        is_right=boxed_answer(trace) == truth,
        has_step_error=trace_has_step_error(problem, trace),
        token_count=len(tokenizer(trace)["input_ids"]),
        check_count=trace.count("Wait,"),
    )


def table(graded: Sequence[Graded]) -> str:
    """Return accuracy with Wilson 95 % intervals by number of operations, as Markdown."""
    rows = [_markdown(HEADINGS), _markdown(["---"] * len(HEADINGS))]
    for operations in sorted({one.operations for one in graded}):
        rows += [_row(str(operations), [one for one in graded if one.operations == operations])]
    return "\n".join([*rows, _row("all", graded)])


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion at 95 %; `count` is at least 1."""
    share, square = right / count, Z_95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    spread = sqrt(share * (1 - share) / count + square / (4 * count**2))
    half = Z_95 * spread / (1 + square / count)
    return centre - half, centre + half


def _row(name: str, graded: Sequence[Graded]) -> str:
    count, right = len(graded), sum(one.is_right for one in graded)
    low, high = wilson_interval(right, count)
    cells = (
        name,
        str(count),
        str(right),
        f"{right / count:.3f}",
        f"{low:.3f} to {high:.3f}",
        str(sum(one.is_right and one.has_step_error for one in graded)),
        f"{sum(one.check_count for one in graded) / count:.2f}",
        f"{sum(one.token_count for one in graded) / count:.1f}",
    )
    return _markdown(cells)


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a model folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--problems", type=Path, help="lines of id, prompt, answer")
    source.add_argument(
        "--pairs", type=Path, help="measure the self-judge on the branches of judge_pairs.py"
    )
    parser.add_argument("--judge", action="store_true", help="measure the A/B self-judge instead")
    parser.add_argument("--cue", default=CUE, help="the self-judge's question")
    parser.add_argument("--traces", type=Path, help="also write every trace to this file")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
