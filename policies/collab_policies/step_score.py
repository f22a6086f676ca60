"""The verifier `step-score`: a mentor grades a step from 0 to 9."""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from collab.capabilities import Need
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.proposals import Distribution
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR, MENTOR
from collab.verdicts import NOBODY, Abstain, Verdict

CUE = (
    "\n(Grade only the step right above, whether its facts and its logic hold, whatever its style: "
    "0 for worthless to 9 for flawless.) Score:"
)
LABELS = tuple(f" {digit}" for digit in range(10))

Scoring = Literal["greedy", "expected"]


class StepScoreOptions(Options):
    """How a mentor grades, and which grade is enough."""

    threshold: float = Field(
        default=7.0, ge=0, le=10, description="Lowest score with which a step stands."
    )
    scoring: Scoring = Field(default="greedy", description="Take the likeliest digit, or the mean.")
    cue: str = Field(default=CUE, min_length=1, description="The question after the step.")
    labels: tuple[str, ...] = Field(
        default=LABELS, description="0 to 9 as they follow the cue; their first tokens must differ."
    )
    mentor: MentorName = MENTOR

    @field_validator("labels")
    @classmethod
    def _are_ten(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(labels) != 10 or len(set(labels)) != 10:
            raise ValueError(f"expected ten different labels, for 0 to 9; found {len(labels)}")
        return labels


class StepScore(StepScoreOptions, Verifier):
    """Let a step stand if the mentor gives it a digit of `threshold` or more.

    `greedy` takes the likeliest of the ten digits, `expected` their mean under the mentor's
    probabilities, renormalised. A mentor that gives no digit any probability answered none: the
    step counts as 0, and the verdict says so. The verdict's score is the digit.

    References:
        SpecReason, arXiv:2504.07891. The published code asks in a second turn of the chat and
        must leave the thinking open, or templates drop what is to be graded; here the question
        stands after the step in the mentor's own text and leaves no trace in it. The question has
        our wording.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """Label probabilities of the mentor."""
        return (Need(self.mentor, "judge"),)

    @property
    def reads_look_ahead(self) -> bool:
        """Only the draft is read."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _ScoreSession(self)


class _ScoreSession(VerifierSession):
    def __init__(self, options: StepScore) -> None:
        self._options = options

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if case.mentor:
            return Abstain("there is a proposal to compare, and only the draft is graded")
        options = self._options
        question = case.draft.text.rstrip("\n") + options.cue
        digits = await desk.judge(options.mentor, question, options.labels)
        if sum(digits.labels.values()) <= 0:
            return Verdict(NOBODY, score=0.0, why="the mentor answered no digit")
        score = self._score(digits)
        if score >= options.threshold:
            return Verdict(GENERATOR, score=score, why="graded high")
        return Verdict(NOBODY, score=score, why="graded low")

    def _score(self, digits: Distribution) -> float:
        shares = [digits.normalised(label) for label in self._options.labels]
        if self._options.scoring == "expected":
            return sum(digit * share for digit, share in enumerate(shares))
        return float(shares.index(max(shares)))
