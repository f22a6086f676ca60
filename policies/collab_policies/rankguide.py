"""RankGuide: rank and entropy together tell three ways to fail apart."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Self

from pydantic import Field, model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab.signals import Observation
from collab_policies.entropy import TopK
from collab_policies.rank.calibrated import (
    CalibratedOptions,
    calibration_needs,
    ensure_same_reading,
    no_opinion,
    reading_of,
)
from collab_policies.rank.calibration_file import SignalScale
from collab_policies.rank.following import RankFollower
from collab_policies.rank.observing import observations

DecisionTime = Literal["after", "before"]
Rule = Literal["hard", "soft"]
Uncertainty = Literal["first", "mean"]

ENTROPY_ONLY = "entropy only, as there are no hidden states"


class RankGuideOptions(CalibratedOptions):
    """When and by which rule a mentor is asked."""

    reading: DecisionTime = Field(
        default="after", description="Whether to decide after a step or before it."
    )
    rule: Rule = Field(default="hard", description="Three triggers, or one weighted sum.")
    entropy: Uncertainty = Field(
        default="first", description="Entropy of the step's first token, or the mean over the step."
    )
    top_k: TopK = 20
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
        default=3, ge=1, description="Number of such steps in a row before a mentor is asked."
    )
    rescue_steps: int = Field(
        default=1, ge=1, description="Number of steps that a mentor then writes."
    )
    weight: float | None = Field(
        default=None, ge=0, description="Weight of the rank in the soft rule."
    )
    soft_threshold: float | None = Field(default=None, description="Threshold of the soft rule.")
    mentor: MentorName = MENTOR


class RankGuide(RankGuideOptions, Policy):
    r"""Ask a mentor where entropy or rank says that the generator fails.

    With H the entropy of a step's first token (or the mean over the step) and R the rank score of
    the last steps, the hard rule asks, and says why, in this order:

    * *uncertainty*: H reaches `uncertainty_nats`;
    * *heavy revalidation*: R was at most `revalidation` for `patience` steps in a row; a mentor
      then writes `rescue_steps`;
    * *overconfidence*: H is lower, and R is at most `overconfidence`.

    The soft rule asks where z(H) + `weight` * z(-R) reaches `soft_threshold`, with means and
    deviations of the calibration. Without an opinion of the rank its term is 0.

    With reading `after` (P) the step is drafted, judged and redone if need be; with `before` (G)
    its first token is looked at and kept, and its own content is not judged. With a generator that
    hands over no hidden states the entropy alone decides; the result's degradations say so.

    References:
        RankGuide, arXiv:2604.16694. What is known: tensor rank of consecutive step-level hidden
        states is used beside entropy; three failures, uncertainty, overconfidence and heavy
        revalidation, are told apart; low rank is bad. How they are joined, the thresholds and the
        moment of the decision are not known to us: both rules and both readings are inferred. With
        `weight` 0 and reading `before`, the soft rule makes GlimpRouter's choices (tested).
    """

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.calibration is None and self.rank is None:
            raise ValueError(
                "give calibration=FILE (`collab calibrate` makes one), or rank.layers and "
                "thresholds"
            )
        if self.reading == "before" and self.entropy == "mean":
            raise ValueError("before a step only its first token's entropy is known")
        if self.calibrated is not None and self.calibrated.rank is not None:
            ensure_same_reading(self.calibrated, self.rank)
        if self.rule == "soft" and self.calibrated is None:
            raise ValueError("the soft rule needs a calibration: its means and deviations")
        if self.calibrated and self.calibrated.entropy_top_k != self.top_k:
            raise ValueError(
                f"the calibration is of the top {self.calibrated.entropy_top_k}, not the top "
                f"{self.top_k} (top_k)"
            )
        self.limits()
        return self

    @property
    def has_rank(self) -> bool:
        """Whether there is a reading of the rank, from the options or the calibration."""
        return self.rank is not None or (self.calibrated is not None and bool(self.calibrated.rank))

    def limits(self) -> "Limits":
        """Return the thresholds, the options' before the calibration's.

        Raises:
            ValueError: One is given by neither.
        """
        if self.rule == "soft":
            weight = self.calibrated.weight if self.weight is None and self.calibrated else 0.0
            return Limits(
                weight=weight if self.weight is None else self.weight,
                soft=self._limit(self.soft_threshold, "soft_threshold", "soft"),
            )
        low_ranks = (
            (
                self._limit(self.overconfidence, "overconfidence", "overconfidence"),
                self._limit(self.revalidation, "revalidation", "revalidation"),
            )
            if self.has_rank
            else (-1.0, -1.0)
        )
        name = "uncertainty" if self.entropy == "first" else "uncertainty_mean"
        uncertainty = self._limit(self.uncertainty_nats, "uncertainty_nats", name)
        return Limits(uncertainty, *low_ranks)

    def _limit(self, option: float | None, field: str, name: str) -> float:
        if option is not None:
            return option
        if self.calibrated is None:
            raise ValueError(f"without a calibration, {field} has to be given")
        return self.calibrated.threshold(name)

    @property
    def needs(self) -> Sequence[Need]:
        """The calibrated generator's entropy and, if it has them, hidden states; the mentor."""
        return (
            *calibration_needs(self.calibrated),
            Need(GENERATOR, "entropy", self.top_k),
            Need(GENERATOR, "hidden_states", degraded=ENTROPY_ONLY),
            Need(self.mentor, "text"),
        )

    @property
    def observations(self) -> Sequence[Observation]:
        """States at the delimiters of steps."""
        return observations(reading_of(self.calibrated, self.rank)) if self.has_rank else ()

    @property
    def looks_beyond(self) -> int:
        """The token after the step, if decided there: it carries the state at the step's end."""
        return 1 if self.reading == "after" else 0

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that follows the steps."""
        return _GuideSession(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of one rule; those of the other are out of reach.

    Attributes:
        uncertainty: Entropies from it on, in nats.
        overconfidence: Rank scores up to it.
        revalidation: The same of a text in circles.
        weight: Of the rank in the soft rule.
        soft: Weighted sums from it on.
    """

    uncertainty: float = math.inf
    overconfidence: float = -1.0
    revalidation: float = -1.0
    weight: float = 0.0
    soft: float = math.inf


class _GuideSession(PolicySession):
    def __init__(self, policy: RankGuide) -> None:
        self._policy = policy
        self._limits = policy.limits()
        calibrated = policy.calibrated
        self._calibrated = calibrated
        self._follower = (
            RankFollower(
                reading_of(calibrated, policy.rank), calibrated.means if calibrated else None
            )
            if policy.has_rank
            else None
        )
        self._low_in_a_row = 0
        self._owed = 0
        self._verdict: Decision = Continue()

    def glimpse(self) -> int | None:
        if self._owed:
            return 0
        return 1 if self._policy.reading == "before" else None

    def decide_before(self, draft: Draft) -> Decision:
        if not draft.tokens:
            self._owed -= 1
            return Consult(self._policy.mentor, why="heavy revalidation, once more")
        self._verdict = self._judge(draft)
        verdict = self._verdict
        return verdict if isinstance(verdict, Consult) else Continue(signal=verdict.signal)

    def decide(self, draft: Draft) -> Decision:
        return self._verdict if self._policy.reading == "before" else self._judge(draft)

    def _judge(self, draft: Draft) -> Decision:
        entropy = self._entropy(draft)
        rank = self._follower.score(draft) if self._follower else None
        if self._policy.rule == "soft":
            return self._weigh(entropy, rank)
        limits, mentor = self._limits, self._policy.mentor
        is_low = rank is not None and rank <= limits.revalidation
        self._low_in_a_row = self._low_in_a_row + 1 if is_low else 0
        if entropy is not None and entropy >= limits.uncertainty:
            return Consult(mentor, why="uncertainty", signal=entropy)
        if self._low_in_a_row >= self._policy.patience:
            self._low_in_a_row, self._owed = 0, self._policy.rescue_steps - 1
            return Consult(mentor, why="heavy revalidation", signal=rank)
        if rank is not None and rank <= limits.overconfidence:
            return Consult(mentor, why="overconfidence", signal=rank)
        why = no_opinion(self._follower) if self._follower and rank is None else "on its way"
        return Continue(why=why, signal=entropy if rank is None else rank)

    def _weigh(self, entropy: float | None, rank: float | None) -> Decision:
        assert self._calibrated is not None, "checked when the policy was made"
        total = self._z(f"entropy_{self._policy.entropy}", entropy)
        total -= self._limits.weight * self._z("rank", rank)
        if total >= self._limits.soft:
            return Consult(self._policy.mentor, why="weighed", signal=total)
        return Continue(why="weighed", signal=total)

    def _z(self, name: str, value: float | None) -> float:
        assert self._calibrated is not None, "checked when the policy was made"
        scale: SignalScale | None = self._calibrated.scales.get(name)
        return 0.0 if value is None or scale is None else scale.z(value)

    def _entropy(self, draft: Draft) -> float | None:
        known = [token.entropy_nats for token in draft.tokens if token.entropy_nats is not None]
        if not known:
            return None
        return known[0] if self._policy.entropy == "first" else fmean(known)
