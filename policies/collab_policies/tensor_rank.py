"""The policy `tensor-rank`: a mentor redoes the steps with which the text goes nowhere new."""

import random
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab.signals import Observation
from collab_policies.rank.calibrated import (
    CalibratedOptions,
    calibration_needs,
    ensure_same_reading,
    no_opinion,
    reading_of,
)
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.rank.following import RankFollower
from collab_policies.rank.observing import observations
from collab_policies.rank.options import RankOptions
from collab_policies.steps import StepRecipe


class TensorRankOptions(CalibratedOptions):
    """Up to which rank a mentor is asked."""

    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Ask if the rank score is at most this; by default the calibration's.",
    )
    mentor: MentorName = MENTOR


class TensorRank(TensorRankOptions, Policy):
    """Ask a mentor where the rank of the last steps' hidden states is low.

    The score is that of `rank.RankOptions`, in [0, 1]; without an opinion (too few steps, states
    that are no numbers) the draft stands.

    References:
        RankGuide, arXiv:2604.16694: tensor rank "of consecutive hidden states" finds low-quality
        steps. Its formula is not known to us; by default the reading is D1, the effective rank of
        steps x layers x hidden along the steps, decided after the step.
    """

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


class TensorRankRecipe(TensorRankOptions, StepRecipe):
    """The mentor redoes steps of low rank, and nothing else.

    References:
        RankGuide, arXiv:2604.16694; see `TensorRank` for what is inferred.
    """

    calibrator: ClassVar[type[RankCalibrator]] = RankCalibrator
    method = "tensor-rank"
    policy = TensorRank
