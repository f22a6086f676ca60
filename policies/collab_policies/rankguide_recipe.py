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
        default=None, description="From `collab calibrate`."
    )
    rank: RankOptions | None = Field(default=None, description="Instead of the calibration's.")
    reading: DecisionTime = Field(
        default="after", description="Decided behind a step or before it."
    )
    rule: Rule = Field(default="hard", description="Three triggers, or one weighted sum.")
    entropy: Uncertainty = Field(default="first", description="Of the first token, or the mean.")
    top_k: int = Field(default=20, ge=2, description="Most likely tokens it is taken over.")
    uncertainty_nats: float | None = Field(default=None, ge=0, description="Asked from it on.")
    overconfidence: float | None = Field(default=None, ge=0, le=1, description="Asked up to it.")
    revalidation: float | None = Field(default=None, ge=0, le=1, description="Going in circles.")
    patience: int = Field(default=3, ge=1, description="Steps in circles before it is asked.")
    rescue_steps: int = Field(default=1, ge=1, description="The mentor's steps to get out.")
    weight: float | None = Field(default=None, ge=0, description="Of the rank in the soft rule.")
    soft_threshold: float | None = Field(default=None, description="Of the soft rule.")
    vector: Path | None = Field(
        default=None, description="From `collab extract steering`: steers the thinking as well."
    )
    vector_scale: float | None = Field(
        default=None, allow_inf_nan=False, description="Instead of the card's, with its sign."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        own = set(RankGuide.model_fields) & set(RankGuideRecipe.model_fields)
        policy = RankGuide.model_validate({name: getattr(self, name) for name in own})
        steering = Vector(path=self.vector, scale=self.vector_scale) if self.vector else None
        return self.composed("rankguide", policy, steering=steering)
