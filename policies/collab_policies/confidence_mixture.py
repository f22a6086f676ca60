"""STEER: two bells fitted to the generator's confidence say how reliable it is."""

import random
from collections.abc import Sequence
from statistics import fmean

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab_policies.mixture import Mixture, fit_mixture
from collab_policies.steps import StepRecipe


class MixtureOptions(Options):
    """When the generator's confidence counts as low."""

    threshold: float = Field(
        default=0.5, ge=0, le=1, description="A mentor writes below this reliability."
    )
    look_ahead: int = Field(
        default=1, ge=1, description="Number of a step's first tokens that are read."
    )
    warm_up: int = Field(default=6, ge=2, description="Number of steps before a mixture is fitted.")
    mixture: Mixture | None = Field(
        default=None, description="A given mixture; fitted along the way by default."
    )
    mentor: MentorName = MENTOR


class ConfidenceMixture(MixtureOptions, Policy):
    """Have a mentor write the steps before which the generator is probably not reliable.

    The confidence is the mean log-probability of the step's first `look_ahead` tokens. Two normal
    distributions are fitted to those of the problem so far, or given once for all; the posterior of
    the upper one says how reliable the generator is. Before `warm_up` steps are seen, the
    generator writes.

    References:
        STEER, arXiv:2511.06190: logit confidence before the step, a mixture of two normal
        distributions by expectation-maximisation, a threshold on the posterior. Look-ahead,
        warm-up and threshold are not known to us.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """Log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "logprobs"), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that remembers confidences."""
        return _MixtureSession(self)


class _MixtureSession(PolicySession):
    def __init__(self, policy: ConfidenceMixture) -> None:
        self._policy = policy
        self._confidences: list[float] = []
        self._posterior: float | None = None

    def glimpse(self) -> int:
        return self._policy.look_ahead

    def decide_before(self, draft: Draft) -> Decision:
        known = [token.logprob for token in draft.tokens if token.logprob is not None]
        self._posterior = self._reliability(fmean(known)) if known else None
        if self._posterior is not None and self._posterior < self._policy.threshold:
            return Consult(self._policy.mentor, why="unreliable", signal=self._posterior)
        return Continue(signal=self._posterior)

    def decide(self, draft: Draft) -> Decision:
        return Continue(why="reliable", signal=self._posterior)

    def _reliability(self, confidence: float) -> float | None:
        self._confidences.append(confidence)
        mixture = self._policy.mixture
        if mixture is None and len(self._confidences) > self._policy.warm_up:
            mixture = fit_mixture(self._confidences)
        return mixture.is_reliable(confidence) if mixture else None


class Steer(MixtureOptions, StepRecipe):
    """The mentor writes the steps before which the generator's confidence is of the lower kind.

    References:
        STEER, arXiv:2511.06190; see `ConfidenceMixture`.
    """

    method = "steer"
    policy = ConfidenceMixture
