"""Grade the steps of a lab trace: by value, and strictly by everything that a step states."""

import re
from dataclasses import dataclass

from task import Problem, execution

_STEP = re.compile(r"So ([a-z]) = .* = (\d)\.")
_CORRECTION = re.compile(r"Wait, check ([a-z]) = .*, not \d\. So \1 = (\d)\.")


@dataclass(frozen=True, slots=True)
class StepGrade:
    """How one execution step compares with the truth.

    Attributes:
        target: The name that the step defines.
        has_right_value: Its stated result is the true value of that name.
        is_exact: Its whole sentence, names and operands included, is the true one.
    """

    target: str
    has_right_value: bool
    is_exact: bool


def grade_step(problem: Problem, thought: str) -> StepGrade | None:
    """Return the grade of one thought, or None for a check, a transition or the answer."""
    found = _STEP.fullmatch(thought.strip())
    if found is None:
        return None
    target, result = found[1], int(found[2])
    values = problem.values
    operations = {operation.target: operation for operation in problem.operations}
    if target not in operations:
        return StepGrade(target, has_right_value=False, is_exact=False)
    sentence = f"So {execution(operations[target], values, values[target])}"
    return StepGrade(target, result == values[target], thought.strip() == sentence)


def trace_has_step_error(problem: Problem, trace: str) -> bool:
    """Return whether a step is missing, or not exact and not set right by the next thought."""
    thoughts = trace.split("\n\n")
    followers = [*thoughts[1:], ""]
    done: set[str] = set()
    for thought, follower in zip(thoughts, followers, strict=True):
        step = grade_step(problem, thought)
        if step is None:
            continue
        correction = _CORRECTION.fullmatch(follower.strip())
        is_corrected = correction is not None and int(correction[2]) == problem.values.get(
            step.target
        )
        if not (step.is_exact or is_corrected):
            return True
        done.add(step.target)
    return done != {operation.target for operation in problem.operations}
