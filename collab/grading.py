r"""Grading: the answer that a text gives, and whether it is the right one.

Model text is only read, never evaluated. Answers that a text marks are found first: the last
`\boxed{...}`, else the line behind the last `####`, else the last "answer is ...".
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Outcome = Literal["correct", "wrong", "truncated", "no_answer", "error", "ungraded"]
"""`truncated`: cut off before it gave an answer. `no_answer`: it ended by itself without one.
`ungraded`: the problem has no reference answer."""

OUTCOMES: tuple[Outcome, ...] = (
    "correct",
    "wrong",
    "truncated",
    "no_answer",
    "error",
    "ungraded",
)

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
    """

    outcome: Outcome
    answer: str | None


def grade(
    text: str, *, reference: str | None, reason: str, extraction: Extraction = "marked"
) -> Grade:
    """Return how `text` did.

    Args:
        text: A model's answer.
        reference: The right answer, bare or marked like an answer; `None` grades nothing.
        reason: Why the text ended, see `collab.controller.Result`.
        extraction: Where to look for the answer.
    """
    is_cut_off = reason in _CUT_OFF or reason.startswith("budget:")
    answer = extract_answer(text, is_cut_off=is_cut_off, extraction=extraction)
    if reference is None:
        return Grade("ungraded", answer)
    if answer is None:
        return Grade("truncated" if is_cut_off else "no_answer", None)
    return Grade("correct" if answers_match(answer, reference) else "wrong", answer)


def extract_answer(
    text: str, *, is_cut_off: bool = False, extraction: Extraction = "marked"
) -> str | None:
    """Return the answer that `text` gives, or `None`.

    Where a thinking block closes, only what follows it counts. What the very end of a cut-off
    text says may be half a word, so it is taken only from within a box.
    """
    text = text.rpartition(_THINKING_END)[2]
    if (boxed := _last_box(text)) is not None:
        return boxed
    if is_cut_off:
        text = text.rstrip()[: -len(text.split()[-1])] if text.strip() else ""
    answer = _behind_hashes(text) or _behind_phrase(text)
    if answer is None and extraction == "last-number" and not is_cut_off:
        numbers = _NUMBER.findall(_plain(text))
        return numbers[-1] if numbers else None
    return answer


def answers_match(answer: str, reference: str) -> bool:
    """Return whether `answer` says what `reference` says.

    Compared as numbers if the reference is one and the answer names exactly one (`$1,200 a year`
    is 1200), else as texts without case, blanks and mark-up.
    """
    expected = extract_answer(reference) or reference
    number = _as_number(_plain(expected))
    if number is not None:
        found = {_as_number(one) for one in _NUMBER.findall(_plain(answer))}
        return found == {number}
    return _folded(answer) == _folded(expected)


# --- where an answer stands -------------------------------------------------------------------


def _last_box(text: str) -> str | None:
    """Return what stands in the last box whose braces are balanced."""
    end = len(text)
    while (start := text.rfind(_BOX, 0, end)) >= 0:
        content = _balanced(text[start + len(_BOX) : end])
        if content is not None and content.strip():
            return content.strip()
        end = start
    return None


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


def _behind_phrase(text: str) -> str | None:
    ends = [found.end() for found in _PHRASE.finditer(text)]
    for end in reversed(ends):
        if said := _SENTENCE_END.split(text[end:].lstrip(), maxsplit=1)[0].strip(" :*"):
            return said
    return None


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
