"""The recipe `rankguide`: routing by rank and entropy, with steering where a vector is given."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from collab.recipes import Recipe
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.rankguide import RankGuide, RankGuideOptions
from collab_policies.steering_vectors.vector import Vector
from collab_policies.steps import StepRecipe


class RankGuideRecipe(RankGuideOptions, StepRecipe):
    """The generator writes steps; where rank or entropy say that it fails, the mentor does.

    References:
        RankGuide, arXiv:2604.16694; see `RankGuide` for what is known of it and what is inferred.
        The mentor writes the answer by default; in the authors' own experiments at times the
        generator does.
    """

    calibrator: ClassVar[type[RankCalibrator]] = RankCalibrator
    method = "rankguide"
    policy = RankGuide

    vector: Path | None = Field(
        default=None,
        description="A vector of `collab extract steering`, which steers the thinking.",
    )
    vector_scale: float | None = Field(
        default=None, allow_inf_nan=False, description="Scale with its sign, instead of the card's."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        steering = Vector(path=self.vector, scale=self.vector_scale) if self.vector else None
        return self.by_steps(steering=steering)
