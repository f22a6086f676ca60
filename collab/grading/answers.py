"""Grading a text: the answer is found first, then compared, and the grade says by which rules.

Whether an answer is right is true, false, or cannot be told, which is never taken for false.
"""

from collab.grading.comparing import can_read, compare, judge_of
from collab.grading.finding import Search, find_answer
from collab.grading.grades import Extraction, Grade, Grader, Outcome
from collab.views import ThinkingTags

_CUT_OFF = frozenset({"budget", "length", "context", "repeat"})


def grade(
    text: str,
    *,
    reference: str | None,
    reason: str,
    extraction: Extraction = "marked",
    grader: Grader = "auto",
    thinking: ThinkingTags | None = None,
) -> Grade:
    """Return how `text` did. With `math-verify` this can take seconds: call it on a thread.

    Args:
        text: A model's answer.
        reference: The right answer, bare or marked like an answer; `None` grades nothing.
        reason: Why the text ended, see `collab.controller.Result`.
        extraction: Where to look for the answer.
        grader: How to compare it.
        thinking: The writer's own thinking tags; `<think>` and `</think>` count always.

    Raises:
        ConfigError: math-verify is asked for and not installed.
    """
    is_cut_off = reason.partition(":")[0] in _CUT_OFF
    judge = None if reference is None else judge_of(grader, reference)
    found = find_answer(text, Search(judge, is_cut_off, extraction, thinking))
    answer, found_by = (found.answer, found.rule) if found else (None, None)
    if reference is None or judge is None:
        return Grade("ungraded", answer, found_by=found_by)
    if not can_read(judge, reference):
        return Grade("ungradable", answer, judge, found_by)
    if answer is None:
        return Grade("truncated" if is_cut_off else "no_answer", None, judge)
    compared = compare(answer, reference, judge, grader=grader)
    outcomes: dict[bool | None, Outcome] = {True: "correct", False: "wrong", None: "ungradable"}
    return Grade(outcomes[compared.is_right], answer, judge, found_by, compared.rule)


def extract_answer(
    text: str, *, is_cut_off: bool = False, extraction: Extraction = "marked"
) -> str | None:
    """Return the answer that `text` gives, or `None`; see `collab.grading.finding.find_answer`."""
    found = find_answer(text, Search(None, is_cut_off, extraction))
    return found.answer if found else None


def extract_choice(text: str, *, is_cut_off: bool = False) -> str | None:
    """Return the letter of the option that `text` chooses, `A` to `J`, or `None`.

    The last marked answer that names one counts; failing these, a last line that is one. A
    statement that names two is no answer. Thinking blocks and cut-off ends count as in
    `extract_answer`.
    """
    found = find_answer(text, Search("choice", is_cut_off))
    return found.answer if found else None
