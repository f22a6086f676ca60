"""The recipe `rankguide`: routing by rank and entropy, with steering where a vector is given."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from collab.recipes import Recipe
from collab_policies.rank.calibration_file import Calibration
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.rank.options import RankOptions
from collab_policies.rankguide import DecisionTime, RankGuide, Rule, Uncertainty
from collab_policies.steering_vectors.vector import Vector
from collab_policies.steps import StepRecipe


class RankGuideRecipe(StepRecipe):
    """The generator writes steps; where rank or entropy say that it fails, the mentor does.

    References:
        RankGuide, arXiv:2604.16694; see `RankGuide` for what is known of it and what is inferred.
        The mentor writes the answer by default; in the authors' own experiments at times the
        generator does.
    """

    calibrator: ClassVar[type[RankCalibrator]] = RankCalibrator

    calibration: Path | Calibration | None = Field(
        default=None, description="A file of `collab calibrate`."
    )
    rank: RankOptions | None = Field(
        default=None, description="Reading of the rank, instead of the calibration's."
    )
    reading: DecisionTime = Field(
        default="after", description="Whether to decide after a step or before it."
    )
    rule: Rule = Field(default="hard", description="Three triggers, or one weighted sum.")
    entropy: Uncertainty = Field(
        default="first", description="Entropy of the first token, or the mean over the step."
    )
    top_k: int = Field(
        default=20, ge=2, description="Number of likeliest tokens the entropy is taken over."
    )
    uncertainty_nats: float | None = Field(
        default=None, ge=0, description="Ask if the entropy is at least this."
    )
    overconfidence: float | None = Field(
        default=None, ge=0, le=1, description="Ask if the rank score is at most this."
    )
    revalidation: float | None = Field(
        default=None, ge=0, le=1, description="A rank score up to this counts as going in circles."
    )
    patience: int = Field(
        default=3, ge=1, description="Number of such steps in a row before the mentor is asked."
    )
    rescue_steps: int = Field(
        default=1, ge=1, description="Number of steps that the mentor then writes."
    )
    weight: float | None = Field(
        default=None, ge=0, description="Weight of the rank in the soft rule."
    )
    soft_threshold: float | None = Field(default=None, description="Threshold of the soft rule.")
    vector: Path | None = Field(
        default=None,
        description="A vector of `collab extract steering`, which steers the thinking.",
    )
    vector_scale: float | None = Field(
        default=None, allow_inf_nan=False, description="Scale with its sign, instead of the card's."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        own = set(RankGuide.model_fields) & set(RankGuideRecipe.model_fields)
        policy = RankGuide.model_validate({name: getattr(self, name) for name in own})
        steering = Vector(path=self.vector, scale=self.vector_scale) if self.vector else None
        return self.composed("rankguide", policy, steering=steering)
