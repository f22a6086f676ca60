"""The recipe `seal`: the generator alone, steered away from reflecting over and over."""

from pydantic import Field

from collab.options import LongestAnswer, shared
from collab.recipes import MethodRecipe, Recipe
from collab.roles import GENERATOR
from collab.units import StepUnit
from collab_policies.never import Never
from collab_policies.steering_vectors.vector import Vector, VectorOptions
from collab_policies.steps import StepTokens, ThinkingEnd, phases_of


class Seal(VectorOptions, MethodRecipe):
    r"""The generator writes alone; at each delimiter of its thinking a vector is added.

    The vector comes from `collab extract steering`; of SEAL's the scale is -1, its card says so.

    References:
        SEAL, arXiv:2504.07986; length and scale are the published ones. Deviations and traps:

        - Delimiters are all tokens whose text contains a blank line, as published. A gate on the
          one token `\n\n`, as in the published code of RankGuide (arXiv:2604.16694; `is_exact`
          here), misses `.\n\n` and `:\n\n`, at which most steps end.
        - Only the thinking is steered, up to `thinking_end`; there the generator begins its answer,
          unsteered. That code of RankGuide steers prompt and answer as well. A tag that the
          generator never writes means steering to the end: give null where texts have one phase.
        - The vector belongs to a problem, not to a server: with and without it, texts are decoded
          together and share no cached prefix that was steered otherwise.
    """

    method = "seal"
    policy = Never

    thinking_end: ThinkingEnd = "</think>"
    answer_tokens: int = Field(
        default=2000,
        ge=1,
        description="Tokens of the longest text that are reserved for the answer.",
    )
    max_answer_tokens: LongestAnswer = 10000
    step_tokens: StepTokens = 512

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.assembled(
            StepUnit(max_tokens=self.step_tokens),
            max_answer_tokens=self.max_answer_tokens,
            phases=phases_of(self.thinking_end, GENERATOR, self.answer_tokens),
            steering=shared(self, Vector),
        )
