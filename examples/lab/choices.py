"""Choices for the lab's self-judge: a right and a wrong continuation of one trace."""

import random
import re
from collections.abc import Mapping
from typing import Literal

from task import (
    CONSTANTS,
    MULTIPLIERS,
    Document,
    Operation,
    Problem,
    Segment,
    apply,
    execution,
    final,
    other_digit,
    slip,
)

from collab_policies.self_judge import CUE

WrongKind = Literal["slip", "lookup", "plan"]

OPTION_PIECES = 16
CUT_AT_STEP_SHARE = 0.3
PIECE = re.compile(r"\n\n| ?\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\s")


def choice_documents(
    problem: Problem, rng: random.Random, cue: str = CUE
) -> tuple[Document, Document]:
    """Return a right and a wrong continuation under the self-judge's cue, in both orders.

    Only the letter is supervised. The options are 16 pieces long and start where a branch would:
    at the start of a step, or at a space at or before the first word in which the two differ.
    """
    index = rng.randrange(len(problem.operations))
    steps = _plain_steps(problem, 0, problem.values)
    prefix = problem.prompt + "".join(steps[:index])
    right, wrong = "".join(steps[index:]), _wrong_continuation(problem, index, rng)
    cut = _branch_position(right, wrong, rng)
    prefix += right[:cut]
    right, wrong = _first_pieces(right[cut:]), _first_pieces(wrong[cut:])
    right_first = Segment(prefix + cue.format(a=right, b=wrong), is_supervised=False)
    wrong_first = Segment(prefix + cue.format(a=wrong, b=right), is_supervised=False)
    return (
        Document((right_first, Segment("A")), is_finished=False),
        Document((wrong_first, Segment("B")), is_finished=False),
    )


def _wrong_continuation(problem: Problem, index: int, rng: random.Random) -> str:
    """Return the steps from number `index` on: wrong there, and what follows from it."""
    operation, values = problem.operations[index], problem.values
    right, shown = values[operation.target], operation
    kind: WrongKind = rng.choice(("slip", "lookup", "plan"))
    match kind:
        case "slip":
            values[operation.target] = slip(right, rng)
        case "lookup":
            values[operation.source] = other_digit(values[operation.source], rng)
        case "plan":
            pool = MULTIPLIERS if operation.operator == "*" else CONSTANTS
            constant = rng.choice([one for one in pool if one != operation.constant])
            shown = Operation(operation.target, operation.source, operation.operator, constant)
    if kind != "slip":
        values[operation.target] = apply(shown.operator, values[shown.source], shown.constant)
    step = f"So {execution(shown, values, values[operation.target])}\n\n"
    for later in problem.operations[index + 1 :]:
        values[later.target] = apply(later.operator, values[later.source], later.constant)
    return step + "".join(_plain_steps(problem, index + 1, values))


def _plain_steps(problem: Problem, first: int, values: Mapping[str, int]) -> list[str]:
    """Return the steps from number `first` on and the final sentence, with the given values."""
    steps = [
        f"So {execution(operation, values, values[operation.target])}\n\n"
        for operation in problem.operations[first:]
    ]
    return [*steps, final(str(values[problem.operations[-1].target]))]


def _branch_position(right: str, wrong: str, rng: random.Random) -> int:
    if rng.random() < CUT_AT_STEP_SHARE:
        return 0
    difference = next(
        at for at, (one, other) in enumerate(zip(right, wrong, strict=False)) if one != other
    )
    spaces = [at for at in range(difference) if right[at] == " "]
    return spaces[-1] if rng.random() < 0.5 else rng.choice(spaces)


def _first_pieces(text: str) -> str:
    return "".join(PIECE.findall(text)[:OPTION_PIECES])
