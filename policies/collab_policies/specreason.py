"""SpecReason: the mentor grades every step of the generator and redoes the bad ones."""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from collab.capabilities import Need
from collab.decisions import Consult, Decision, Verify
from collab.problems import Problem
from collab.proposals import Distribution
from collab.protocols import (
    Case,
    Draft,
    Policy,
    PolicySession,
    Verifier,
    VerifierDesk,
    VerifierSession,
)
from collab.recipes import Recipe
from collab.roles import GENERATOR, MENTOR
from collab.verdicts import NOBODY, Abstain, Verdict
from collab_policies.steps import StepRecipe

CUE = (
    "\n(Grade only the step right above, whether its facts and its logic hold, whatever its style: "
    "0 for worthless to 9 for flawless.) Score:"
)
LABELS = tuple(f" {digit}" for digit in range(10))

Scoring = Literal["greedy", "expected"]


class EveryStep(Policy):
    """Have every step of the generator verified; one that does not stand is a mentor's.

    References:
        SpecReason, arXiv:2504.07891.
    """

    first_steps: int = Field(
        default=0, ge=0, description="Number of first steps that a mentor always writes."
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts steps."""
        return _EverySession(self)


class _EverySession(PolicySession):
    def __init__(self, policy: EveryStep) -> None:
        self._policy = policy
        self._steps = 0

    def glimpse(self) -> int | None:
        return 0 if self._steps < self._policy.first_steps else None

    def decide_before(self, draft: Draft) -> Decision:
        self._steps += 1
        return Consult(self._policy.mentor, why="first steps")

    def decide(self, draft: Draft) -> Decision:
        return Verify(Consult(self._policy.mentor, why="graded low"), why="graded")


class StepScore(Verifier):
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

    threshold: float = Field(
        default=7.0, ge=0, le=10, description="Lowest score with which a step stands."
    )
    scoring: Scoring = Field(default="greedy", description="Take the likeliest digit, or the mean.")
    cue: str = Field(default=CUE, min_length=1, description="The question after the step.")
    labels: tuple[str, ...] = Field(
        default=LABELS, description="0 to 9 as they follow the cue; their first tokens must differ."
    )
    mentor: str = Field(default=MENTOR, description="The mentor that grades.")

    @field_validator("labels")
    @classmethod
    def _are_ten(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(labels) != 10 or len(set(labels)) != 10:
            raise ValueError(f"expected ten different labels, for 0 to 9; found {len(labels)}")
        return labels

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


class SpecReason(StepRecipe):
    """The generator drafts every step, the mentor grades it, and redoes what it grades low.

    References:
        SpecReason, arXiv:2504.07891. Deviations: at most three calls per step (draft, grade, redo),
        where the published code asks a server for its models before each of them; rejected drafts
        and grades are in the ledger; `</think>` ends the thinking, where the published code
        deletes it from a step without an answer; a repeated step leads to the answer and is not
        called finished.
    """

    threshold: float = Field(
        default=7.0, ge=0, le=10, description="Lowest score with which a step stands."
    )
    scoring: Scoring = Field(default="greedy", description="Take the likeliest digit, or the mean.")
    first_steps: int = Field(
        default=0, ge=0, description="Number of first steps that the mentor always writes."
    )
    cue: str = Field(default=CUE, min_length=1, description="The question after the step.")
    labels: tuple[str, ...] = Field(default=LABELS, description="0 to 9 as they follow the cue.")

    def recipe(self) -> Recipe:
        """Return the recipe."""
        score = StepScore(
            threshold=self.threshold,
            scoring=self.scoring,
            cue=self.cue,
            labels=self.labels,
            mentor=self.mentor,
        )
        policy = EveryStep(first_steps=self.first_steps, mentor=self.mentor)
        return self.composed("specreason", policy, verifiers=(score,))
