r"""Grading: the answer that a text gives, and whether it is the right one.

Model text is only read, never evaluated. Answers that a text marks are found first: the last
`\boxed{...}`, else the line behind the last `####`, else the last "answer is ...". Whether an
answer is right is true, false, or cannot be told, which is never taken for false.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, assert_never

from collab.choice_letters import choice_letter, lone_letter
from collab.math_equality import are_equal

Outcome = Literal["correct", "wrong", "truncated", "no_answer", "error", "ungraded", "ungradable"]
"""`truncated`: cut off before it gave an answer. `no_answer`: it ended by itself without one.
`ungraded`: the problem has no reference answer. `ungradable`: it has one, but the grader cannot
read it, or cannot tell."""

OUTCOMES: tuple[Outcome, ...] = (
    "correct",
    "wrong",
    "truncated",
    "no_answer",
    "error",
    "ungraded",
    "ungradable",
)

Judge = Literal["exact", "numeric", "choice", "math-verify"]
"""`exact`: the same text, without case, blanks and mark-up. `numeric`: the same number. `choice`:
the same letter of an option. `math-verify`: equal as mathematics, by the package of that name."""

Grader = Literal["auto", "exact", "numeric", "choice", "math-verify"]
"""`auto`: by the reference: `numeric` for a number, `choice` for a letter from A to J, else
`exact`."""

Extraction = Literal["marked", "last-number"]
"""`marked`: only answers that the text marks count. `last-number`: failing these, the last number
of a text that ended by itself; how most GSM8K results are graded."""

_CUT_OFF = frozenset({"length", "context", "repeat"})
_THINKING_END = "</think>"
_BOX = "\\boxed{"
_BRACE = re.compile(r"(?<!\\)[{}]")
_HASHES = "####"
_PHRASE = re.compile(r"\banswer(?:\s+is|\s*:)\s*:?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")
_NUMBER = re.compile(
    r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,60})(?:\.\d{1,60}|/\d{1,60})?"
    r"(?!\d|/|(?:st|nd|rd|th)\b)"  # a unit may follow (48g), an ordinal is no amount
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}")
_DECORATION = re.compile(r"[\s$*_`\\()\[\]{}]|\\text|\\mathrm")


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of one answer.

    Attributes:
        outcome: The result.
        answer: The answer found in the text, as it stands there; `None` if there is none.
        grader: Who judged it; `None` if there was nothing to compare with.
    """

    outcome: Outcome
    answer: str | None
    grader: Judge | None = None


def grade(
    text: str,
    *,
    reference: str | None,
    reason: str,
    extraction: Extraction = "marked",
    grader: Grader = "auto",
) -> Grade:
    """Return how `text` did. With `math-verify` this can take seconds: call it on a thread.

    Args:
        text: A model's answer.
        reference: The right answer, bare or marked like an answer; `None` grades nothing.
        reason: Why the text ended, see `collab.controller.Result`.
        extraction: Where to look for the answer.
        grader: How to compare it.

    Raises:
        ConfigError: math-verify is asked for and not installed.
    """
    is_cut_off = reason in _CUT_OFF or reason.startswith("budget:")
    judge = None if reference is None else judge_of(grader, reference)
    if judge == "choice":
        answer = extract_choice(text, is_cut_off=is_cut_off)
    else:
        answer = extract_answer(text, is_cut_off=is_cut_off, extraction=extraction)
    if reference is None or judge is None:
        return Grade("ungraded", answer)
    if not _can_read(judge, _expected(reference)):
        return Grade("ungradable", answer, judge)
    if answer is None:
        return Grade("truncated" if is_cut_off else "no_answer", None, judge)
    outcomes: dict[bool | None, Outcome] = {True: "correct", False: "wrong", None: "ungradable"}
    return Grade(outcomes[is_right(answer, reference, judge)], answer, judge)


def judge_of(grader: Grader, reference: str) -> Judge:
    """Return who compares with `reference`: `grader`, or whom `auto` stands for."""
    if grader != "auto":
        return grader
    expected = _expected(reference)
    if _as_number(_plain(expected)) is not None:
        return "numeric"
    return "choice" if lone_letter(expected) else "exact"


def is_right(answer: str, reference: str, judge: Judge) -> bool | None:
    """Return whether `answer` says what `reference` says; `None` if that cannot be told.

    What `reference` says is looked for like an answer, and taken whole if it marks none.

    Raises:
        ConfigError: See `grade`.
    """
    expected = _expected(reference)
    match judge:
        case "exact":
            return _folded(answer) == _folded(expected)
        case "numeric":
            number = _as_number(_plain(expected))
            return None if number is None else _numbers(answer) == {number}
        case "choice":
            letter = choice_letter(expected)
            return None if letter is None else choice_letter(answer) == letter
        case "math-verify":
            return _folded(answer) == _folded(expected) or are_equal(answer, expected)
        case _:
            assert_never(judge)


def extract_answer(
    text: str, *, is_cut_off: bool = False, extraction: Extraction = "marked"
) -> str | None:
    """Return the answer that `text` gives, or `None`.

    Where a thinking block closes, only what follows it counts. What the very end of a cut-off
    text says may be half a word, so it is taken only from within a box.
    """
    text = text.rpartition(_THINKING_END)[2]
    answer = next(_marked(text, is_cut_off=is_cut_off), None)
    if answer is None and extraction == "last-number" and not is_cut_off:
        numbers = _NUMBER.findall(_plain(text))
        return numbers[-1] if numbers else None
    return answer


def extract_choice(text: str, *, is_cut_off: bool = False) -> str | None:
    """Return the letter of the option that `text` chooses, `A` to `J`, or `None`.

    The last marked answer that names one counts; failing these, a last line that is a letter and
    nothing else. Thinking blocks and cut-off ends count as in `extract_answer`.
    """
    text = text.rpartition(_THINKING_END)[2]
    for said in _marked(text, is_cut_off=is_cut_off):
        if letter := choice_letter(said):
            return letter
    return None if is_cut_off else lone_letter(text)


def answers_match(answer: str, reference: str) -> bool:
    """Return whether `answer` says what `reference` says, compared as `auto` does.

    As numbers if the reference is one and the answer names exactly one (`$1,200 a year` is 1200),
    as letters if it is one, else as texts without case, blanks and mark-up.
    """
    return is_right(answer, reference, judge_of("auto", reference)) is True


def _expected(reference: str) -> str:
    return extract_answer(reference) or reference


def _can_read(judge: Judge, expected: str) -> bool:
    """Whether `expected` is of the kind that `judge` compares with, as far as is seen at once."""
    if judge == "numeric":
        return _as_number(_plain(expected)) is not None
    return judge != "choice" or choice_letter(expected) is not None


def _numbers(text: str) -> set[Fraction | None]:
    return {_as_number(one) for one in _NUMBER.findall(_plain(text))}


# --- where an answer stands -------------------------------------------------------------------


def _marked(text: str, *, is_cut_off: bool) -> Iterator[str]:
    """Yield the answers that a text marks, the one that counts first."""
    yield from _boxes(text)
    if is_cut_off:
        text = text.rstrip()[: -len(text.split()[-1])] if text.strip() else ""
    if behind := _behind_hashes(text):
        yield behind
    yield from _behind_phrases(text)


def _boxes(text: str) -> Iterator[str]:
    """Yield what stands in boxes whose braces are balanced, the last box first."""
    end = len(text)
    while (start := text.rfind(_BOX, 0, end)) >= 0:
        content = _balanced(text[start + len(_BOX) : end])
        if content is not None and content.strip():
            yield content.strip()
        end = start


def _balanced(text: str) -> str | None:
    """Return `text` up to the brace that closes one opened before it."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[: brace.start()]
    return None


def _behind_hashes(text: str) -> str | None:
    _, mark, rest = text.rpartition(_HASHES)
    lines = rest.strip().splitlines()
    return lines[0].strip() or None if mark and lines else None


def _behind_phrases(text: str) -> Iterator[str]:
    """Yield what is said behind "answer is" and its like, the last first."""
    ends = [found.end() for found in _PHRASE.finditer(text)]
    for end in reversed(ends):
        if said := _SENTENCE_END.split(text[end:].lstrip(), maxsplit=1)[0].strip(" :*"):
            yield said


# --- comparing --------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Return `text` without the mark-up that would hide a number."""
    text = _LATEX_FRACTION.sub(r"\1/\2", text).replace("{,}", ",").replace("\\,", "")
    return re.sub(r"[$€£%*\\{}]", " ", text).strip().rstrip(".")


def _as_number(text: str) -> Fraction | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text.replace(",", ""))
    except ZeroDivisionError:
        return None


def _folded(text: str) -> str:
    return _DECORATION.sub("", text.replace("\\text", "")).rstrip(".").casefold()
