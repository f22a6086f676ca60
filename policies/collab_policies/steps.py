"""Recipes by steps: the options that all of them share."""

from typing import Annotated

from pydantic import Field

from collab.options import MentorName, RepeatLimit
from collab.phases import Phases
from collab.proposals import Until
from collab.protocols import Steerer
from collab.recipes import MethodRecipe, Recipe
from collab.roles import MENTOR
from collab.units import StepUnit

StepTokens = Annotated[int, Field(ge=1, description="Longest step.")]
ThinkingEnd = Annotated[
    str | None,
    Field(min_length=1, description="The tag that ends thinking; null for texts of one phase."),
]


class StepRecipe(MethodRecipe):
    r"""A text of steps, each closed by a blank line; first thinking, then an answer.

    The published code appends a blank line to a step that was cut at its longest, takes two empty
    steps for a repetition, and counts only tokens that were kept. Here a step that was cut goes
    on, an empty step cannot be, and the ledger counts every token.

    References:
        The numbers are those of GlimpRouter, arXiv:2601.05110, and SpecReason, arXiv:2504.07891:
        512 tokens a step, 8192 of thinking, 2048 of answer; two equal steps in a row end the
        thinking. They sample at 0.6 with top-p 0.95; here greedy unless asked otherwise.
    """

    step_tokens: StepTokens = 512
    thinking_tokens: int = Field(default=8192, ge=1, description="Longest thinking.")
    answer_tokens: int = Field(default=2048, ge=1, description="Longest answer after the thinking.")
    thinking_end: ThinkingEnd = "</think>"
    answer_by: str = Field(
        default=MENTOR, description="The participant that writes the answer after the thinking."
    )
    mentor: MentorName = MENTOR
    repeat_limit: RepeatLimit = 2

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.by_steps()

    def by_steps(self, *, segment: Until | None = None, steering: Steerer | None = None) -> Recipe:
        """Return the recipe; a mentor writes a step unless `segment` says otherwise."""
        step = StepUnit(max_tokens=self.step_tokens)
        phases = phases_of(self.thinking_end, self.answer_by, self.answer_tokens)
        return self.assembled(
            step,
            segment or Until(max_tokens=self.step_tokens, unit=step),
            max_answer_tokens=self.thinking_tokens + (self.answer_tokens if phases else 0),
            phases=phases,
            steering=steering,
        )


def phases_of(thinking_end: str | None, answer_by: str, answer_tokens: int) -> Phases | None:
    """Return the two phases of a text; `None` for one phase, where no tag ends the thinking."""
    if thinking_end is None:
        return None
    return Phases(thinking_end=thinking_end, answer_by=answer_by, answer_tokens=answer_tokens)
