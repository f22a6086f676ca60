"""Whether an answer is right: by number, by letter, as text or as mathematics."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from collab.grading.expressions import other_brackets, same_text
from collab.grading.finding import Search, find_answer
from collab.grading.grades import ComparedBy, Grader, Judge
from collab.grading.letters import lone_letter, named_letters
from collab.grading.math_equality import are_equal
from collab.grading.readings import Number, Reading, same_number
from collab.grading.statements import read_number

_KEPT = 256
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether an answer is right, `None` if that cannot be told, and how it was compared."""

    is_right: bool | None
    rule: ComparedBy


@lru_cache(maxsize=_KEPT)  # one grade asks several times
def expected_of(reference: str) -> str:
    """Return what `reference` says: the answer it marks, or all of it."""
    found = find_answer(reference, Search())
    return found.answer if found else reference


def judge_of(grader: Grader, reference: str) -> Judge:
    """Return who compares with `reference`: `grader`, or whom `auto` stands for."""
    if grader != "auto":
        return grader
    expected = expected_of(reference)
    number = _number_of(expected)
    if isinstance(number, Number) and number.is_bare:
        return "numeric"
    return "choice" if lone_letter(expected) else "exact"


def can_read(judge: Judge, reference: str) -> bool:
    """Return whether `reference` is of the kind that `judge` compares with, as far as is seen."""
    expected = expected_of(reference)
    if judge == "numeric":
        return isinstance(_number_of(expected), Number)
    return judge != "choice" or len(named_letters(expected)) == 1


def compare(answer: str, reference: str, judge: Judge, *, grader: Grader = "auto") -> Comparison:
    """Return whether `answer` says what `reference` says.

    Args:
        answer: As it was found.
        reference: What it says is looked for like an answer, and taken whole if it marks none.
        judge: Who compares.
        grader: Who was asked for; `auto` is told where it could not read a number.

    Raises:
        ConfigError: math-verify is asked for and not installed.
    """
    expected = expected_of(reference)
    match judge:
        case "exact":
            is_unread = grader == "auto" and _DIGIT.search(expected) is not None
            rule: ComparedBy = "text-not-number" if is_unread else "text"
            return Comparison(same_text(answer, expected), rule)
        case "numeric":
            return Comparison(_is_number(answer, expected), "number")
        case "choice":
            return Comparison(_is_letter(answer, expected), "letter")
        case "math-verify":
            return _as_mathematics(answer, expected)
        case _:
            assert_never(judge)


def is_right(answer: str, reference: str, judge: Judge) -> bool | None:
    """Return whether `answer` says what `reference` says; `None` if that cannot be told.

    Raises:
        ConfigError: See `compare`.
    """
    return compare(answer, reference, judge).is_right


def answers_match(answer: str, reference: str) -> bool:
    """Return whether `answer` says what `reference` says, compared as `auto` does.

    As numbers if the reference is one and the answer names exactly one (`$1,200 a year` is 1200),
    as letters if it is one, else as texts but for blanks and mark-up.
    """
    return is_right(answer, reference, judge_of("auto", reference)) is True


@lru_cache(maxsize=_KEPT)
def _number_of(expected: str) -> Reading:
    return read_number(expected)


def _is_number(answer: str, expected: str) -> bool | None:
    """Whether both are one number. Words and lists are wrong; a formula cannot be told."""
    number = _number_of(expected)
    if not isinstance(number, Number):
        return None
    found = read_number(answer)
    if isinstance(found, Number):
        return same_number(found, number)
    return None if found == "unreadable" else False


def _is_letter(answer: str, expected: str) -> bool | None:
    right = named_letters(expected)
    return named_letters(answer) == right if len(right) == 1 else None


def _as_mathematics(answer: str, expected: str) -> Comparison:
    if same_text(answer, expected):
        return Comparison(True, "text")
    if other_brackets(answer, expected):
        return Comparison(False, "text")
    return Comparison(are_equal(answer, expected), "math")
