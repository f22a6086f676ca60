"""Which reading of the rank signal is taken, as options."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from collab_policies.rank.normalising import Normaliser, State
from collab_policies.rank.scores import (
    Measure,
    RankReading,
    effective_rank,
    numerical_rank,
    read_folded,
    read_modes,
    read_steps,
    read_tokens,
)
from collab_policies.rank.trajectory import Trajectory

Definition = Literal["trajectory", "folded", "tokens"]
Notion = Literal["effective", "numerical"]
Modes = Literal["step", "all"]


class RankOptions(BaseModel):
    """How a rank is read, and of which layers.

    References:
        RankGuide, arXiv:2604.16694, derives "tensor rank signals" from "consecutive hidden
        states". Which tensor, which decomposition, which formula, window, layers and tolerance
        are not known to us. Each choice here is a reading of ours; see `collab_policies.rank`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: tuple[int, ...] = Field(
        min_length=1,
        description="As `hidden_states` counts from 0, each once; `upper_layers` proposes some.",
    )
    definition: Definition = Field(
        default="trajectory",
        description="`trajectory`: steps x layers x hidden; `folded`: steps x d1 x d2, for "
        "comparison only; `tokens`: tokens x hidden of the last step.",
    )
    notion: Notion = Field(
        default="effective",
        description="`effective`: exp of the entropy of the spectrum; `numerical`: how many "
        "directions are needed within the tolerance.",
    )
    modes: Modes = Field(
        default="step",
        description="Of `trajectory`: the rank of the steps, or the geometric mean over steps, "
        "layers and hidden.",
    )
    window: int = Field(default=8, ge=2, description="Number of last steps that are used.")
    tolerance: float = Field(
        default=0.1, gt=0, lt=1, description="Relative error that a numerical rank may leave."
    )
    energy_share: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="Of `tokens`, in place of `tolerance`: the share of the energy that a "
        "numerical rank keeps; 0.9 to 0.99 make sense.",
    )
    fold: tuple[int, int] | None = Field(
        default=None, description="Of `folded`: d1 and d2; by default the nearest to a square."
    )

    @field_validator("layers")
    @classmethod
    def _are_layers(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if min(layers) < 0 or len(set(layers)) < len(layers):
            raise ValueError(f"{layers} has to name layers from 0 on, each once")
        return layers

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.definition != "trajectory":
            if len(self.layers) != 1:
                raise ValueError(f"{self.definition!r} reads one layer, {len(self.layers)} named")
            if self.modes != "step":
                raise ValueError("modes 'all' are those of the definition 'trajectory'")
        if self.fold is not None and (self.definition != "folded" or min(self.fold) < 1):
            raise ValueError("a fold is of the definition 'folded': two numbers of at least 1")
        return self

    @property
    def measure(self) -> Measure:
        """The notion of rank, from a spectrum to a number."""
        if self.notion == "effective":
            return effective_rank
        if self.definition == "tokens":
            return partial(numerical_rank, tolerance=math.sqrt(1 - self.energy_share))
        return partial(numerical_rank, tolerance=self.tolerance)

    def start(self, means: Sequence[State] | None = None) -> Trajectory:
        """Return an empty trajectory for one text.

        Args:
            means: Calibration means by layer, `(L, d)`; `None` subtracts nothing, which leaves
                hardly any signal in the states of real models.

        Raises:
            ConfigError: They are no means of RMS-normalised states.
            ValueError: They are not as many as `layers`.
        """
        return Trajectory(self.window, len(self.layers), Normaliser(means))

    def read(self, trajectory: Trajectory, tokens: Sequence[State] = ()) -> RankReading | None:
        """Return ranks and score as these options say, `None` where there is no opinion.

        There is none while fewer than 3 steps are held (2 if that is the window), of `tokens`
        while fewer than 3 states are usable; nor where all that is left of the states is zeros.

        Args:
            trajectory: From `start`. Of `tokens` only its normaliser is used.
            tokens: Of `tokens`: the states of the step, `(T, d)`, not normalised yet.

        Raises:
            ValueError: The trajectory is of another number of layers, or a fold does not fit.
        """
        if trajectory.layers != len(self.layers):
            raise ValueError(f"{trajectory.layers} layers held, {len(self.layers)} in the options")
        match self.definition:
            case "trajectory":
                read = read_steps if self.modes == "step" else read_modes
                return read(trajectory, self.measure)
            case "folded":
                return read_folded(trajectory, self.measure, self.fold)
            case "tokens":
                return read_tokens(trajectory.normaliser.tokens(tokens), self.measure)

    def score(self, trajectory: Trajectory, tokens: Sequence[State] = ()) -> float | None:
        """Return the score of `read` alone: in `[0, 1]`, low where the text goes nowhere new."""
        reading = self.read(trajectory, tokens)
        return None if reading is None else reading.score


def upper_layers(blocks: int, count: int = 4) -> tuple[int, ...]:
    """Return layers equally spaced in the upper half; a single one is at three quarters.

    Args:
        blocks: Of the model.
        count: How many, at most half of the blocks.

    Raises:
        ValueError: There are not so many.

    References:
        RankGuide, arXiv:2604.16694: the layers of its rank are not known to us; its steering
        is at 0.70 to 0.78 of the blocks.
    """
    if not 1 <= count <= max(blocks // 2, 1):
        raise ValueError(f"{count} layers of the upper half of {blocks} blocks")
    return tuple(int(blocks * (0.5 + (place + 0.5) / (2 * count))) for place in range(count))
