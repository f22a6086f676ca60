"""Measure a steering vector on problems: how accuracy, checks and length change with its scale."""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from collab import Controller, Result
from collab.grading import grade
from collab.problems import Problem, read_problems
from collab.statistics import mcnemar_exact, wilson_interval
from collab_backends.local.backend import LocalTorch
from collab_policies.seal import Seal
from collab_policies.steering_vectors.vector_file import VECTOR_NAME, load_vector, save_vector
from collab_policies.thoughts import count_reflections, steps_of

SCALES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
HEADINGS = (
    "scale",
    "N",
    "accuracy (95 % interval)",
    "reflections",
    "steps",
    "tokens",
    "won, lost, p",
)
MAX_ANSWER_TOKENS = 240


@dataclass(frozen=True, slots=True)
class Written:
    """One answered problem."""

    problem: str
    is_right: bool
    reflections: int
    steps: int
    tokens: int


def main() -> None:
    """Print a Markdown table."""
    args = _parse_arguments()
    with TemporaryDirectory() as folder:
        vector = args.vector if args.random is None else random_one(args, Path(folder))
        study(args, vector)


def study(args: argparse.Namespace, vector: Path) -> None:
    """Answer all problems with each scale of one vector, and once without it to compare."""
    lines = list(read_problems(args.problems))
    problems = [one for one in lines if isinstance(one, Problem)][: args.limit]
    print(_markdown(HEADINGS))
    print(_markdown(["---"] * len(HEADINGS)))
    plain = anyio.run(answer, args.model, vector, 0.0, problems)
    before = {one.problem: one.is_right for one in plain}
    for scale in args.scales:
        written = anyio.run(answer, args.model, vector, scale, problems) if scale else plain
        print(_row(scale, written, before), flush=True)


def random_one(args: argparse.Namespace, folder: Path) -> Path:
    """Write a vector of a random direction, as long as the one given: the control."""
    given = load_vector(args.vector)
    rng = random.Random(args.random)
    direction = [rng.gauss(0, 1) for _ in given.vector]
    factor = hypot(*given.vector) / hypot(*direction)
    save_vector(folder / VECTOR_NAME, [factor * one for one in direction], given.card)
    return folder


async def answer(
    model: str, vector: Path, scale: float, problems: Sequence[Problem]
) -> list[Written]:
    """Return what the generator writes alone, greedily, with the vector times `scale` added."""
    recipe = Seal(path=vector, scale=scale, thinking_end=None, max_answer_tokens=MAX_ANSWER_TOKENS)
    backend = LocalTorch(model=model, threads=1)
    async with (
        Controller(generator=backend, recipe=recipe) as controller,
        controller.map(problems, concurrency=16) as results,
    ):
        return [_graded(result.raise_for_error()) async for result in results]


def _graded(result: Result) -> Written:
    graded = grade(result.text, reference=result.problem.answer, reason=result.reason)
    steps = steps_of(result.text)
    return Written(
        problem=result.problem.id,
        is_right=graded.outcome == "correct",
        reflections=count_reflections(steps),
        steps=len(steps),
        tokens=sum(one.tokens for one in result.spans),
    )


def _row(scale: float, written: Sequence[Written], before: Mapping[str, bool]) -> str:
    count, right = len(written), sum(one.is_right for one in written)
    low, high = wilson_interval(right, count)
    won = sum(one.is_right and not before[one.problem] for one in written)
    lost = sum(before[one.problem] and not one.is_right for one in written)
    cells = (
        f"{scale:g}",
        str(count),
        f"{100 * right / count:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
        f"{sum(one.reflections for one in written) / count:.3f}",
        f"{sum(one.steps for one in written) / count:.2f}",
        f"{sum(one.tokens for one in written) / count:.1f}",
        f"{won}, {lost}, {mcnemar_exact(won, lost):.2g}",
    )
    return _markdown(cells)


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vector", type=Path, help="a folder of `collab extract steering`")
    parser.add_argument("--problems", type=Path, required=True, help="lines of id, prompt, answer")
    parser.add_argument("--limit", type=int, default=400, help="only the first so many")
    parser.add_argument("--model", default="lab/generator", help="the generator it was made of")
    parser.add_argument("--random", type=int, help="a random direction instead, of this seed")
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    return parser.parse_args()


if __name__ == "__main__":
    main()
