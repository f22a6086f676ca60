"""Nudging: a base model writes, and where it is unsure an aligned one supplies words."""

from pydantic import Field

from collab.options import LongestAnswer, RepeatLimit
from collab.proposals import Until
from collab.recipes import MethodRecipe, Recipe
from collab.units import TokenUnit
from collab_policies.unsure_token import UnsureOptions, UnsureToken
from collab_policies.until_sure import UntilSure


class Nudging(UnsureOptions, MethodRecipe):
    """Nudging: a large base model writes, and a small aligned one says what it is unsure of.

    Roles are not sizes: here the `generator` is the base model, and the `mentor` the small one.

    References:
        Nudging, arXiv:2410.09300: look-aheads of 16 tokens, and an end after three equal nudges.
    """

    method = "nudging"
    policy = UnsureToken
    verifiers = (UntilSure,)

    draft_tokens: int = Field(default=16, ge=1, description="Tokens drafted at a time.")
    nudge_tokens: int = Field(default=16, ge=1, description="Longest nudge, in tokens.")
    repeat_limit: RepeatLimit = 3
    max_answer_tokens: LongestAnswer = 512

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.assembled(
            TokenUnit(size=self.draft_tokens),
            Until(self.nudge_tokens),
            max_answer_tokens=self.max_answer_tokens,
        )
