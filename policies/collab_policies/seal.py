"""The recipe `seal`: the generator alone, steered away from reflecting over and over."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from collab.phases import Phases
from collab.proposals import Sampling
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.units import StepUnit
from collab_policies.never import Never
from collab_policies.steering_vectors.vector import Vector


class Seal(BaseModel):
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

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="A folder of `collab extract steering`, or the file in it.")
    scale: float | None = Field(
        default=None, description="Scale with its sign, instead of the card's."
    )
    decay: float = Field(default=0.0, description="See the steerer `vector`.")
    layer: int | None = Field(default=None, ge=0, description="Block, instead of the card's.")
    token_texts: tuple[str, ...] = Field(
        default=("\n\n",), description="Steer at tokens that contain one of these; at all if empty."
    )
    is_exact: bool = Field(
        default=False, description="Steer only at tokens that equal one of these."
    )
    thinking_end: str | None = Field(
        default="</think>",
        min_length=1,
        description="The tag that ends thinking; null for texts of one phase.",
    )
    answer_tokens: int = Field(
        default=2000,
        ge=1,
        description="Tokens of the longest text that are reserved for the answer.",
    )
    max_answer_tokens: int = Field(default=10000, ge=1, description="Longest answer.")
    step_tokens: int = Field(default=512, ge=1, description="Longest step.")
    repeat_limit: int = Field(
        default=0, ge=0, description="End after this many equal steps in a row; 0 for never."
    )
    stop_strings: tuple[str, ...] = Field(default=(), description="Texts that end the answer.")
    sampling: Sampling = Field(
        default=Sampling(), description="How tokens are drawn; greedy by default."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return Recipe(
            name="seal",
            policy=Never(),
            unit=StepUnit(max_tokens=self.step_tokens),
            max_answer_tokens=self.max_answer_tokens,
            repeat_limit=self.repeat_limit,
            stop_strings=self.stop_strings,
            sampling=self.sampling,
            phases=self._phases(),
            steering=Vector(
                path=self.path,
                scale=self.scale,
                decay=self.decay,
                layer=self.layer,
                token_texts=self.token_texts,
                is_exact=self.is_exact,
            ),
        )

    def _phases(self) -> Phases | None:
        if self.thinking_end is None:
            return None
        return Phases(
            thinking_end=self.thinking_end, answer_by=GENERATOR, answer_tokens=self.answer_tokens
        )
