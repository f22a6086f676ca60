"""The verifier `self-judge`: the generator itself chooses between two continuations.

`mentor-judge` asks a mentor the same question.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from collab.capabilities import Need
from collab.errors import ContextOverflowError, ModelCallError
from collab.options import Options
from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict

CUE = (
    "\nThere are two ways to go on from here, and one of them leads to the right answer.\n"
    "(A){a}\n(B){b}\nThe one to take is ("
)

_TIE = 1e-4
"""Shares this close to the threshold are a tie. A judge that only prefers a letter scores 0.5 in
both orders, give or take the last bits, which depend on what else is in the batch."""

Order = Literal["fixed", "swapped", "both"]
AnswerReading = Literal["share", "likeliest"]
Reading = Annotated[
    AnswerReading,
    Field(
        description="`share`: of the labels' probability; `likeliest`: the likeliest token of all."
    ),
]

_HALF = 0.5


class ReadingOptions(Options):
    """How a judge is asked and its answer read."""

    order: Order = Field(
        default="fixed",
        description="`fixed`: the generator's continuation is A; `swapped`: it is B; `both`: "
        "asked in both orders, averaged.",
    )
    reading: Reading = "share"


class SelfJudge(ReadingOptions, Verifier):
    """Ask the generator which of two continuations is right, and read the labels' probabilities.

    The question is put on a fork of the generator's cached text and leaves no trace in it. With the
    reading `share`, the mentor's proposal stands if its label holds more than `threshold` of the
    probability of both labels; with `likeliest`, if its label is the likeliest token of all, in
    both orders where both are asked. What does not answer at all leaves the generator's. The
    verdict's score is the margin in [-1, 1] with either reading: the mentor's share minus the
    generator's, so 0 for a judge that cannot tell. Without room for the question in the judge's
    context, it abstains. Labels that begin with the same token in the judge's vocabulary are an
    error of the problem; so is a judge that does not say its likeliest token, if that is read.

    References:
        MentorCollab (FREE), arXiv:2602.05307. The published code always shows the generator's
        continuation as A and takes the mentor's only if the likeliest token is "B", blanks aside:
        order `fixed`, reading `likeliest`. The reading `share` also hears a judge that would write
        neither letter. Other orders answer its preference for one position. The cue has our
        wording.
    """

    threshold: float = Field(
        default=_HALF, ge=0, le=1, description="Share above which the mentor's proposal stands."
    )
    cue: str = Field(default=CUE, description="The question, with {a} and {b}.")
    labels: tuple[str, str] = Field(
        default=("A", "B"),
        description="Names of the two in the cue; their first tokens must differ.",
    )

    @field_validator("cue")
    @classmethod
    def _has_both(cls, cue: str) -> str:
        if "{a}" not in cue or "{b}" not in cue:
            raise ValueError("the cue has to contain {a} and {b}")
        return cue

    @field_validator("labels")
    @classmethod
    def _can_be_told_apart(cls, labels: tuple[str, str]) -> tuple[str, str]:
        if labels[0].strip() == labels[1].strip() or not all(label.strip() for label in labels):
            raise ValueError("the two labels have to differ, and none may be empty")
        return labels

    @model_validator(mode="after")
    def _reads_one_way(self) -> Self:
        if self.reading == "likeliest" and self.threshold != _HALF:
            raise ValueError(
                "the reading 'likeliest' has no threshold; leave it out, or read share"
            )
        return self

    @property
    def judge(self) -> str:
        """The participant that is asked."""
        return GENERATOR

    @property
    def needs(self) -> Sequence[Need]:
        """Label probabilities of the judge."""
        return (Need(self.judge, "judge"),)

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _JudgeSession(self)


class _JudgeSession(VerifierSession):
    def __init__(self, options: SelfJudge) -> None:
        self._options = options

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        own, offered = case.own.text, case.offered.text
        try:
            answers = await self._answers(desk, own, offered)
        except ContextOverflowError:
            return Abstain("no room in the context for the question")
        share = fmean(one.share for one in answers)
        if self._options.reading == "share":
            is_mentors = share > self._options.threshold + _TIE
        else:
            is_mentors = all(one.is_written for one in answers)
        why = f"judged by the {self._options.judge}, order {self._options.order}"
        return Verdict(case.mentor if is_mentors else GENERATOR, score=2 * share - 1, why=why)

    async def _answers(self, desk: VerifierDesk, own: str, offered: str) -> list["_Answer"]:
        first, second = self._options.labels
        answers = []
        if self._options.order in ("fixed", "both"):
            answers.append(await self._ask(desk, own, offered, mentor_label=second))
        if self._options.order in ("swapped", "both"):
            answers.append(await self._ask(desk, offered, own, mentor_label=first))
        return answers

    async def _ask(self, desk: VerifierDesk, a: str, b: str, *, mentor_label: str) -> "_Answer":
        # Not str.format: the continuations may contain braces.
        question = b.join(part.replace("{a}", a) for part in self._options.cue.split("{b}"))
        judge = self._options.judge
        answer = await desk.judge(judge, question, self._options.labels)
        if self._options.reading == "likeliest" and answer.likeliest is None:
            raise ModelCallError(
                f"the {judge} does not say which token is its likeliest, which the judge's reading "
                "'likeliest' compares; set reading to 'share'"
            )
        is_written = self._begins(mentor_label, answer.likeliest)
        return _Answer(answer.normalised(mentor_label), is_written=is_written)

    def _begins(self, label: str, token: str | None) -> bool:
        """Whether a token begins this label and not the other: a label may have several tokens."""
        token = (token or "").strip()
        return bool(token) and [
            one for one in self._options.labels if one.strip().startswith(token)
        ] == [label]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the judge says to one order.

    Attributes:
        share: The mentor's label's of both labels' probability.
        is_written: Whether that label is the likeliest token of all.
    """

    share: float
    is_written: bool
