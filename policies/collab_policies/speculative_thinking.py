"""Speculative Thinking: where a step begins with doubt, the mentor begins it instead."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision, Inject
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.proposals import Until
from collab.protocols import Draft, Policy, PolicySession
from collab.recipes import Recipe
from collab.roles import MENTOR
from collab.units import StepUnit
from collab_policies.moods import Moods, MoodsOptions, mood_of
from collab_policies.steps import StepRecipe

RECAP = "Let me check whether the steps so far are right.\n\n"


class StepMoodOptions(Options):
    """How much of a step is read, and when a recap is due."""

    look_ahead: int = Field(
        default=20, ge=1, description="Number of a step's first tokens that are read."
    )
    patience: int = Field(
        default=15, ge=1, description="Number of steps that look back before a recap."
    )
    rescue_tokens: int = Field(
        default=125, ge=1, description="Tokens that a mentor writes after the recap."
    )
    recap: str = Field(default=RECAP, min_length=1, description="The recap that is put in.")
    mentor: MentorName = MENTOR


class StepMood(StepMoodOptions, Policy):
    """Ask a mentor where a step begins by looking back, checking or concluding.

    Only the first `look_ahead` tokens of a step are read, and kept where it goes on. Behind
    `patience` steps that look back, a recap is put in and a mentor writes `rescue_tokens`; both
    numbers grow each time, up to a bound.

    References:
        Speculative Thinking, arXiv:2504.12329: 20 tokens ahead; recap after 15, then 20, 25 up to
        30 such steps, with 125, then 150 up to 200 tokens. Its recap branch fails in one variant of
        the published code. Words and recap are ours.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts steps that look back."""
        return _MoodSession(self)


class _MoodSession(PolicySession):
    def __init__(self, policy: StepMood) -> None:
        self._policy = policy
        self._patience, self._rescue = policy.patience, policy.rescue_tokens
        self._negative = 0
        self._is_rescued = False

    def glimpse(self) -> int:
        return 0 if self._is_rescued else self._policy.look_ahead

    def decide_before(self, draft: Draft) -> Decision:
        mentor = self._policy.mentor
        if self._is_rescued:
            self._is_rescued = False
            rescue, self._rescue = self._rescue, min(self._rescue + 25, 200)
            return Consult(mentor, max_tokens=rescue, why="recap")
        if draft.answer and not draft.answer.endswith("\n\n"):
            return Continue(why="within a step")
        mood = mood_of(draft.text)
        self._negative += mood in ("reflection", "verification")
        return Continue() if mood == "none" else Consult(mentor, why=mood)

    def decide(self, draft: Draft) -> Decision:
        if self._negative < self._patience:
            return Continue()
        self._negative, self._patience = 0, min(self._patience + 5, 30)
        self._is_rescued = True
        return Inject(self._policy.recap, why="looked back too often")


class SpeculativeThinking(StepMoodOptions, MoodsOptions, StepRecipe):
    """Steps that begin with doubt are begun by the mentor, 20 tokens long.

    References:
        Speculative Thinking, arXiv:2504.12329; see `StepMood` and `Moods`.
    """

    method = "speculative-thinking"
    policy = StepMood
    verifiers = (Moods,)

    def recipe(self) -> Recipe:
        """Return the recipe; a mentor begins a step and does not write it to its end."""
        return self.by_steps(segment=Until(self.look_ahead, StepUnit(max_tokens=self.look_ahead)))
