"""Write held-out problems as lines of JSON, equally many of 2 to 6 operations."""

import argparse
import json
import random
from collections.abc import Collection, Iterator
from pathlib import Path

from task import Problem, canonical_question, sample_problem

OPERATIONS = range(2, 7)
SEED = 777


def main() -> None:
    """Write as many problems as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--but", type=Path, help="Leave out the problems of this file.")
    args = parser.parse_args()
    others = args.but.read_text(encoding="utf-8").splitlines() if args.but else []
    left_out = {canonical_question(json.loads(line)["prompt"]) for line in others}
    lines = [
        json.dumps({"id": f"lab-{number:04d}", "prompt": problem.prompt, "answer": problem.answer})
        for number, problem in enumerate(
            held_out_problems(args.count, args.seed, left_out), start=1
        )
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def held_out_problems(count: int, seed: int, left_out: Collection[str] = ()) -> Iterator[Problem]:
    """Yield held-out problems, no two of them alike up to the names of their variables.

    Args:
        count: How many.
        seed: Of the draws.
        left_out: Canonical questions that are not drawn.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        problem = sample_problem(rng, OPERATIONS[len(seen) % len(OPERATIONS)], split="held-out")
        question = canonical_question(problem.prompt)
        if question not in seen and question not in left_out:
            seen.add(question)
            yield problem


if __name__ == "__main__":
    main()
