"""Grades: what became of one answer, and the words that say so."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["correct", "wrong", "truncated", "no_answer", "error", "ungraded", "ungradable"]
"""`truncated`: cut off before it gave an answer. `no_answer`: it ended by itself without one.
`ungraded`: the problem has no reference answer. `ungradable`: it has one, but the grader cannot
read it or the answer, or cannot tell."""

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
"""`exact`: the same text, but for blanks and mark-up. `numeric`: the same number. `choice`: the
same letter of an option. `math-verify`: equal as mathematics, by the package of that name."""

Grader = Literal["auto", "exact", "numeric", "choice", "math-verify"]
"""`auto`: by the reference: `numeric` for a number, `choice` for a letter from A to J, else
`exact`."""

Extraction = Literal["marked", "last-number"]
"""`marked`: only answers that the text marks count. `last-number`: failing these, the last number
of a text that ended by itself; how most GSM8K results are graded."""

FoundBy = Literal[
    "boxed", "tag", "hashes", "phrase", "heading", "prefix", "last-number", "last-line"
]
r"""Where an answer stands. `boxed`: in `\boxed{...}`. `tag`: in `<answer>...</answer>`. `hashes`:
after `####`. `phrase`: after "the answer is" and its like. `heading`: below "Final answer".
`prefix`: in a line that begins with `A:`. `last-number`, `last-line`: nothing marks it."""

ComparedBy = Literal["number", "letter", "text", "text-not-number", "math"]
"""How an answer was compared. `text-not-number`: as text, since the reference has digits but cannot
be read as one number, so `auto` did not choose `numeric`. `math`: math-verify was asked; it is not
where both are the same text."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of one answer.

    Attributes:
        outcome: The result.
        answer: The answer found in the text, as it stands there; `None` if there is none.
        grader: Who judged it; `None` if there was nothing to compare with.
        found_by: By which rule it was found; `None` if it was not.
        compared_by: By which rule it was compared; `None` if it was not.
    """

    outcome: Outcome
    answer: str | None
    grader: Judge | None = None
    found_by: FoundBy | None = None
    compared_by: ComparedBy | None = None
