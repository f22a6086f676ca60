"""The policy `tensor-rank`: a mentor redoes the steps with which the text goes nowhere new."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.recipes import Recipe
from collab.roles import GENERATOR, MENTOR
from collab.signals import Observation
from collab_policies.rank.calibration_file import Calibration, as_calibration
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.rank.following import RankFollower
from collab_policies.rank.observing import observations
from collab_policies.rank.options import RankOptions
from collab_policies.steps import StepRecipe


class TensorRank(Policy):
    """Ask a mentor where the rank of the last steps' hidden states is low.

    The score is that of `rank.RankOptions`, in [0, 1]; without an opinion (too few steps, states
    that are no numbers) the draft stands.

    References:
        RankGuide, arXiv:2604.16694: tensor rank "of consecutive hidden states" finds low-quality
        steps. Its formula is not known to us; by default the reading is D1, the effective rank of
        steps x layers x hidden along the steps, decided after the step.
    """

    calibration: Path | Calibration | None = Field(
        default=None, description="A file of `collab calibrate`: layers, means and threshold."
    )
    rank: RankOptions | None = Field(
        default=None,
        description="Reading of the rank and its layers, instead of the calibration's.",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Ask if the rank score is at most this; by default the calibration's.",
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.calibration is None and (self.rank is None or self.threshold is None):
            raise ValueError(
                "give calibration=FILE (`collab calibrate` makes one), or rank.layers and threshold"
            )
        ensure_same_reading(self.calibrated, self.rank)
        _ = self.limit
        return self

    @property
    def calibrated(self) -> Calibration | None:
        """The calibration, if one is given."""
        return as_calibration(self.calibration)

    @property
    def reading(self) -> RankOptions:
        """Which reading is taken."""
        return reading_of(self.calibrated, self.rank)

    @property
    def limit(self) -> float:
        """Up to which score a mentor is asked."""
        if self.threshold is not None:
            return self.threshold
        assert self.calibrated is not None, "checked when it was made"
        return self.calibrated.threshold("rank")

    @property
    def needs(self) -> Sequence[Need]:
        """The calibrated generator's hidden states, and the mentor."""
        width = self.calibrated.hidden_size if self.calibrated else None
        return (
            *calibration_needs(self.calibrated),
            Need(GENERATOR, "hidden_states", width or 0),
            Need(self.mentor, "text"),
        )

    @property
    def observations(self) -> Sequence[Observation]:
        """States at the delimiters of steps."""
        return observations(self.reading)

    @property
    def looks_beyond(self) -> int:
        """The token after the step: it carries the state at the step's end."""
        return 1

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that follows the steps."""
        return _RankSession(self)


class _RankSession(PolicySession):
    def __init__(self, policy: TensorRank) -> None:
        self._policy = policy
        self._limit = policy.limit
        calibrated = policy.calibrated
        self._follower = RankFollower(policy.reading, calibrated.means if calibrated else None)

    def decide(self, draft: Draft) -> Decision:
        score = self._follower.score(draft)
        if score is None:
            return Continue(why=no_opinion(self._follower))
        if score <= self._limit:
            return Consult(self._policy.mentor, why="low rank", signal=score)
        return Continue(why="high rank", signal=score)


def reading_of(calibrated: Calibration | None, rank: RankOptions | None) -> RankOptions:
    """Return which reading of the rank is taken."""
    options = rank or (calibrated.rank if calibrated else None)
    assert options is not None, "checked when the policy was made"
    return options


def ensure_same_reading(calibrated: Calibration | None, rank: RankOptions | None) -> None:
    """Refuse means and thresholds of another reading.

    Raises:
        ValueError: The calibration holds none, or for other options.
    """
    if calibrated is None:
        return
    if calibrated.rank is None and rank is None:
        raise ValueError(
            f"the calibration of {calibrated.generator!r} has no rank: its generator handed over "
            "no hidden states; calibrate on a local one"
        )
    if rank is not None and calibrated.rank is not None and rank != calibrated.rank:
        raise ValueError(
            f"the calibration is of another reading of the rank ({calibrated.rank}); leave `rank` "
            "out, or calibrate with it"
        )


def calibration_needs(calibrated: Calibration | None) -> Sequence[Need]:
    """Return that the generator has to be the calibrated one, where that can be told."""
    if calibrated is None or not calibrated.fingerprint:
        return ()
    return (Need(GENERATOR, "text", fingerprint=calibrated.fingerprint),)


def no_opinion(follower: RankFollower) -> str:
    """Return why there is none, for the record."""
    return f"no opinion, {follower.unusable} states unusable" if follower.unusable else "no opinion"


class TensorRankRecipe(StepRecipe):
    """The mentor redoes steps of low rank, and nothing else.

    References:
        RankGuide, arXiv:2604.16694; see `TensorRank` for what is inferred.
    """

    calibrator: ClassVar[type[RankCalibrator]] = RankCalibrator

    calibration: Path | Calibration | None = Field(
        default=None, description="A file of `collab calibrate`."
    )
    rank: RankOptions | None = Field(
        default=None, description="Reading of the rank, instead of the calibration's."
    )
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="Ask if the rank score is at most this."
    )

    def recipe(self) -> Recipe:
        """Return the recipe."""
        policy = TensorRank(
            calibration=self.calibration,
            rank=self.rank,
            threshold=self.threshold,
            mentor=self.mentor,
        )
        return self.composed("tensor-rank", policy)
