"""Chains of arithmetic modulo 10: problems, worked traces, the held-out split."""

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operator = Literal["+", "-", "*"]
Split = Literal["train", "held-out"]

MODULUS = 10
CONSTANTS = range(2, 10)
# Units of the ring: any other multiplier collapses chains towards 0, where wrong traces are right.
MULTIPLIERS = (3, 7, 9)
LETTERS = "abcdefghijklmnopqrstuvwxyz"

HELD_OUT_ONE_IN = 16

PRODUCT_SHARE = 0.34
TRANSITION_SHARE = 0.2
CHECK_SHARE_AFTER_PRODUCT = 0.2
CHECK_SHARE_OTHERWISE = 0.05
MOST_CHECKS = 4
ERROR_SHARE = 0.12
SLIP_SHARE_OF_ERRORS = 0.7

_VARIABLE = re.compile(r"\b[a-z]\b")
_INITIAL = re.compile(r"([a-z]) = (\d)(?=[,.])")
_OPERATION = re.compile(r"([a-z]) = ([a-z]) ([-+*]) (\d)(?=[,.])")
_BOXED = re.compile(r"\\boxed\{(\d+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One link of a chain: `target = source operator constant`."""

    target: str
    source: str
    operator: Operator
    constant: int

    @property
    def text(self) -> str:
        return f"{self.target} = {self.source} {self.operator} {self.constant}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One question: constants with names, then operations of which each uses the name before it."""

    initial: tuple[tuple[str, int], ...]
    operations: tuple[Operation, ...]

    @property
    def prompt(self) -> str:
        statements = [f"{name} = {value}" for name, value in self.initial]
        statements += [operation.text for operation in self.operations]
        return f"Mod {MODULUS}: {', '.join(statements)}. What is {self.operations[-1].target}?\n\n"

    @property
    def values(self) -> dict[str, int]:
        """The value of every name, in order of definition."""
        values = dict(self.initial)
        for operation in self.operations:
            values[operation.target] = apply(
                operation.operator, values[operation.source], operation.constant
            )
        return values

    @property
    def answer(self) -> str:
        return str(self.values[self.operations[-1].target])


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a training document; the loss counts its tokens only when it is supervised."""

    text: str
    is_supervised: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """A training text; after a finished one the text ends, after a choice it is merely cut off."""

    segments: tuple[Segment, ...]
    is_finished: bool

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


def apply(operator: Operator, left: int, right: int) -> int:
    """Return `left operator right` modulo 10."""
    match operator:
        case "+":
            return (left + right) % MODULUS
        case "-":
            return (left - right) % MODULUS
        case "*":
            return (left * right) % MODULUS


def canonical_question(prompt: str) -> str:
    """Return the prompt with its variables renamed to `v0, v1, ...` in order of appearance."""
    names: dict[str, str] = {}
    return _VARIABLE.sub(lambda match: names.setdefault(match[0], f"v{len(names)}"), prompt)


def is_held_out(prompt: str) -> bool:
    """Return whether a question belongs to the test split, whatever its variables are called.

    It is a property of the question alone, so no list of test problems has to be kept from the
    trainer.
    """
    digest = hashlib.sha256(canonical_question(prompt).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def sample_problem(rng: random.Random, operations: int, *, split: Split) -> Problem:
    """Return a random problem of the given number of operations from one side of the split."""
    while True:
        problem = _sample_any_problem(rng, operations)
        if is_held_out(problem.prompt) == (split == "held-out"):
            return problem


def parse_problem(prompt: str) -> Problem:
    """Return the problem that a prompt states.

    Raises:
        ValueError: The prompt is not one that `Problem.prompt` writes.
    """
    initial = tuple((name, int(value)) for name, value in _INITIAL.findall(prompt))
    operations = tuple(
        Operation(target, source, operator, int(constant))
        for target, source, operator, constant in _OPERATION.findall(prompt)
    )
    problem = Problem(initial, operations)
    if not operations or problem.prompt != prompt:
        raise ValueError(f"not a prompt of the lab: {prompt!r}")
    return problem


def boxed_answer(text: str) -> str | None:
    """Return the content of the last `\\boxed{}` of a trace, or None where there is none."""
    found = _BOXED.findall(text)
    return found[-1] if found else None


def solve_document(
    problem: Problem, rng: random.Random, check_share: float | None = None
) -> Document:
    """Return a question with a worked trace: some needless checks, some errors put right at once.

    A wrong number is masked, with the rest of its step up to the full stop, so that no model
    learns to make errors. With `check_share`, every right step is checked with that probability,
    and again and again, at most `MOST_CHECKS` times: heavy revalidation, planted on purpose.
    """
    segments = [Segment(problem.prompt, is_supervised=False)]
    values = problem.values
    for index, operation in enumerate(problem.operations):
        if index > 0 and rng.random() < TRANSITION_SHARE:
            segments.append(Segment(f"Now find {operation.target}.\n\n"))
        if rng.random() < ERROR_SHARE:
            segments += _corrected_error(operation, values, rng)
        else:
            segments.append(Segment(_right_step(operation, values, rng, check_share)))
    segments.append(Segment(final(problem.answer)))
    return Document(tuple(segments), is_finished=True)


def execution(operation: Operation, values: Mapping[str, int], result: int) -> str:
    """Return the sentence that carries out one operation, without its first word."""
    left = values[operation.source]
    return f"{operation.text} = {left} {operation.operator} {operation.constant} = {result}."


def final(answer: str) -> str:
    """Return the sentence that ends a trace."""
    return f"The answer is \\boxed{{{answer}}}."


def slip(right: int, rng: random.Random) -> int:
    """Return a wrong result: one or two off most of the time, else any other digit."""
    if rng.random() < 0.8:
        return (right + rng.choice((-2, -1, 1, 2))) % MODULUS
    return other_digit(right, rng)


def other_digit(digit: int, rng: random.Random) -> int:
    """Return any digit but the given one."""
    return (digit + rng.randrange(1, MODULUS)) % MODULUS


def _sample_any_problem(rng: random.Random, operations: int) -> Problem:
    initial_count = rng.randint(1, 2)
    names = rng.sample(LETTERS, initial_count + operations)
    initial = tuple((name, rng.choice(CONSTANTS)) for name in names[:initial_count])
    links = zip(names[initial_count - 1 :], names[initial_count:], strict=False)
    return Problem(
        initial, tuple(_sample_operation(rng, source, target) for source, target in links)
    )


def _sample_operation(rng: random.Random, source: str, target: str) -> Operation:
    if rng.random() < PRODUCT_SHARE:
        return Operation(target, source, "*", rng.choice(MULTIPLIERS))
    operator: Operator = "+" if rng.random() < 0.5 else "-"
    return Operation(target, source, operator, rng.choice(CONSTANTS))


def _right_step(
    operation: Operation,
    values: Mapping[str, int],
    rng: random.Random,
    check_share: float | None,
) -> str:
    sentence = execution(operation, values, values[operation.target])
    check = f"Wait, check {sentence} Correct.\n\n"
    if check_share is not None:
        checks = 0
        while checks < MOST_CHECKS and rng.random() < check_share:
            checks += 1
        return f"So {sentence}\n\n{checks * check}"
    share = CHECK_SHARE_AFTER_PRODUCT if operation.operator == "*" else CHECK_SHARE_OTHERWISE
    return f"So {sentence}\n\n{check if rng.random() < share else ''}"


def _corrected_error(
    operation: Operation, values: Mapping[str, int], rng: random.Random
) -> list[Segment]:
    right, left = values[operation.target], values[operation.source]
    if rng.random() < SLIP_SHARE_OF_ERRORS:
        wrong = slip(right, rng)
        kept, masked = (
            f"So {operation.text} = {left} {operation.operator} {operation.constant} =",
            f" {wrong}",
        )
    else:
        misread = other_digit(left, rng)
        wrong = apply(operation.operator, misread, operation.constant)
        kept, masked = (
            f"So {operation.text} =",
            f" {misread} {operation.operator} {operation.constant} = {wrong}",
        )
    check = execution(operation, values, right).removesuffix(".")
    correction = f".\n\nWait, check {check}, not {wrong}. So {operation.target} = {right}.\n\n"
    return [Segment(kept), Segment(masked, is_supervised=False), Segment(correction)]
