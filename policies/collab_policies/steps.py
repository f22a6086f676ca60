"""Recipes by steps: the options that all of them share."""

from pydantic import BaseModel, ConfigDict, Field

from collab.phases import Phases
from collab.proposals import Sampling, Until
from collab.protocols import Policy, Steerer, Verifier
from collab.recipes import Recipe
from collab.roles import MENTOR
from collab.units import StepUnit


class StepRecipe(BaseModel):
    r"""A text of steps, each closed by a blank line; first thinking, then an answer.

    The published code appends a blank line to a step that was cut at its longest, takes two empty
    steps for a repetition, and counts only tokens that were kept. Here a step that was cut goes
    on, an empty step cannot be, and the ledger counts every token.

    References:
        The numbers are those of GlimpRouter, arXiv:2601.05110, and SpecReason, arXiv:2504.07891:
        512 tokens a step, 8192 of thinking, 2048 of answer; two equal steps in a row end the
        thinking. They sample at 0.6 with top-p 0.95; here greedy unless asked otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step_tokens: int = Field(default=512, ge=1, description="Longest step.")
    thinking_tokens: int = Field(default=8192, ge=1, description="Longest thinking.")
    answer_tokens: int = Field(default=2048, ge=1, description="Longest answer after the thinking.")
    thinking_end: str | None = Field(
        default="</think>",
        min_length=1,
        description="The tag that ends thinking; null for texts of one phase.",
    )
    answer_by: str = Field(
        default=MENTOR, description="The participant that writes the answer after the thinking."
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")
    repeat_limit: int = Field(
        default=2, ge=0, description="End after this many equal steps in a row; 0 for never."
    )
    stop_strings: tuple[str, ...] = Field(default=(), description="Texts that end the answer.")
    sampling: Sampling = Field(
        default=Sampling(), description="How tokens are drawn; greedy by default."
    )

    def composed(
        self,
        name: str,
        policy: Policy,
        *,
        verifiers: tuple[Verifier, ...] = (),
        steering: Steerer | None = None,
        segment: Until | None = None,
    ) -> Recipe:
        """Return the recipe of a method; a mentor writes a step unless it says otherwise."""
        step = StepUnit(max_tokens=self.step_tokens)
        phases = None
        if self.thinking_end is not None:
            phases = Phases(
                thinking_end=self.thinking_end,
                answer_by=self.answer_by,
                answer_tokens=self.answer_tokens,
            )
        return Recipe(
            name=name,
            policy=policy,
            verifiers=verifiers,
            unit=step,
            segment=segment or Until(max_tokens=self.step_tokens, unit=step),
            max_answer_tokens=self.thinking_tokens + (self.answer_tokens if phases else 0),
            stop_strings=self.stop_strings,
            repeat_limit=self.repeat_limit,
            sampling=self.sampling,
            phases=phases,
            steering=steering,
        )
