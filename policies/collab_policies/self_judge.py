"""The verifier `self-judge`: the generator itself chooses between two continuations.

`mentor-judge` asks a mentor the same question.
"""

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from pydantic import Field, field_validator

from collab.capabilities import Need
from collab.errors import ContextOverflowError
from collab.problems import Problem
from collab.protocols import Case, Handles, Verifier, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict

CUE = (
    "\nThere are two ways to go on from here, and one of them leads to the right answer.\n"
    "(A){a}\n(B){b}\nThe one to take is ("
)

_TIE = 1e-4
"""Scores this close to the threshold are a tie. A judge that only prefers a letter scores 0.5 in
both orders, give or take the last bits, which depend on what else is in the batch."""

Order = Literal["fixed", "swapped", "both"]


class SelfJudge(Verifier):
    """Ask the generator which of two continuations is right, and read the labels' probabilities.

    The question is put on a fork of the generator's cached text and leaves no trace in it. The
    mentor's proposal stands if its label holds more than `threshold` of the probability of both
    labels; what does not answer at all leaves the generator's. The verdict's score is the margin in
    [-1, 1]: the mentor's share minus the generator's, so 0 for a judge that cannot tell. Without
    room for the question in the judge's context, it abstains. Labels that begin with the same token
    in the judge's vocabulary are an error of the problem.

    References:
        MentorCollab (FREE), arXiv:2602.05307. The published code always shows the generator's
        continuation as A and takes the mentor's only if the most likely token is "B"; order
        `fixed` with threshold 0.5 differs from it where neither label is the most likely token.
        Other orders answer its preference for one position. The cue is worded anew.
    """

    order: Order = Field(
        default="fixed",
        description="`fixed`: the generator's continuation is A; `swapped`: it is B; `both`: "
        "asked in both orders, averaged.",
    )
    threshold: float = Field(default=0.5, ge=0, le=1, description="The mentor's stands above it.")
    cue: str = Field(default=CUE, description="The question, with {a} and {b}.")
    labels: tuple[str, str] = Field(
        default=("A", "B"), description="What the cue calls the two; other first tokens."
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
        if labels[0] == labels[1] or not all(label.strip() for label in labels):
            raise ValueError("the two labels have to differ, and none may be empty")
        return labels

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

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        own, offered = case.proposals[GENERATOR].text, case.proposals[case.mentor].text
        try:
            share = await self._share_of_mentor(models, own, offered)
        except ContextOverflowError:
            return Abstain("no room in the context for the question")
        stands = case.mentor if share > self._options.threshold + _TIE else GENERATOR
        why = f"judged by the {self._options.judge}, order {self._options.order}"
        return Verdict(stands, score=2 * share - 1, why=why)

    async def _share_of_mentor(self, models: Handles, own: str, offered: str) -> float:
        first, second = self._options.labels
        shares = []
        if self._options.order in ("fixed", "both"):
            shares.append(await self._ask(models, own, offered, mentor_label=second))
        if self._options.order in ("swapped", "both"):
            shares.append(await self._ask(models, offered, own, mentor_label=first))
        return fmean(shares)

    async def _ask(self, models: Handles, a: str, b: str, *, mentor_label: str) -> float:
        # Not str.format: the continuations may contain braces.
        question = b.join(part.replace("{a}", a) for part in self._options.cue.split("{b}"))
        answer = await models.judge(self._options.judge, question, self._options.labels)
        return answer.normalised(mentor_label)
