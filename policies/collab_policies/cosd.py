"""CoSD: a mentor scores the generator's drafts, and replaces a token that it knows better."""

from pydantic import Field

from collab.options import LongestAnswer
from collab.recipes import MethodRecipe, Recipe
from collab.units import TokenUnit
from collab_policies.every_draft import EveryDraft
from collab_policies.surer_token import SurerOptions, SurerToken


class CoSD(SurerOptions, MethodRecipe):
    """CoSD: drafts of the generator, of which single tokens are replaced by a mentor's.

    References:
        CoSD, arXiv:2502.08020: "speculate, then collaborate".
    """

    method = "cosd"
    policy = EveryDraft
    verifiers = (SurerToken,)

    draft_tokens: int = Field(default=16, ge=1, description="Tokens drafted at a time.")
    max_answer_tokens: LongestAnswer = 512

    def recipe(self) -> Recipe:
        """Return the recipe."""
        unit = TokenUnit(size=self.draft_tokens)
        return self.assembled(unit, max_answer_tokens=self.max_answer_tokens)
