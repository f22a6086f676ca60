"""TrigReason: three triggers, for the plan, for overconfidence and for hesitation."""

import math
import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import GENERATOR, MENTOR
from collab_policies.steps import StepRecipe
from collab_policies.thoughts import HESITATION


class TriggerOptions(Options):
    """When a mentor is called."""

    plan_steps: int = Field(
        default=1, ge=0, description="Number of first steps that a mentor writes."
    )
    perplexity: float = Field(
        default=1.05, ge=1, description="A token with a perplexity below this is overconfident."
    )
    confident_share: float = Field(
        default=0.8,
        ge=0,
        description="Share of such tokens at which a step is redone; over 1 for never.",
    )
    hesitant_steps: int = Field(
        default=3, ge=1, description="Hesitant steps in a row before a mentor writes."
    )
    rescue_steps: int = Field(default=1, ge=1, description="Number of steps that it then writes.")
    mentor: MentorName = MENTOR


class Triggers(TriggerOptions, Policy):
    """A mentor plans, redoes steps written with too much confidence, and ends hesitation.

    The first `plan_steps` are a mentor's. A step of the generator is redone if the share of its
    tokens with a perplexity below `perplexity` is `confident_share` or more. Behind
    `hesitant_steps` steps in a row that hesitate (wait, hmm, alternatively, ...), a mentor writes
    `rescue_steps`.

    References:
        TrigReason, arXiv:2604.14847, as its reviews describe it; 1.05 and 0.75 to 0.85 are
        theirs, the numbers of steps are tuned there and guesses here.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """Log-probabilities of the generator, and the mentor."""
        return (Need(GENERATOR, "logprobs"), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that counts."""
        return _TriggerSession(self)


class _TriggerSession(PolicySession):
    def __init__(self, policy: Triggers) -> None:
        self._policy = policy
        self._owed, self._why = policy.plan_steps, "plan"
        self._hesitant = 0

    def glimpse(self) -> int | None:
        return 0 if self._owed else None

    def decide_before(self, draft: Draft) -> Decision:
        self._owed -= 1
        return Consult(self._policy.mentor, why=self._why)

    def decide(self, draft: Draft) -> Decision:
        policy = self._policy
        share = _confident_share(draft, policy.perplexity)
        if share is not None and share >= policy.confident_share:
            self._hesitant = 0
            return Consult(policy.mentor, why="overconfident", signal=share)
        self._hesitant = self._hesitant + 1 if HESITATION.search(draft.text) else 0
        if self._hesitant >= policy.hesitant_steps:
            self._hesitant, self._owed, self._why = 0, policy.rescue_steps, "hesitant"
        return Continue(signal=share)


def _confident_share(draft: Draft, perplexity: float) -> float | None:
    known = [token.logprob for token in draft.tokens if token.logprob is not None]
    if not known:
        return None
    return sum(-logprob < math.log(perplexity) for logprob in known) / len(known)


class TrigReason(TriggerOptions, StepRecipe):
    """The mentor is called by triggers instead of grading every step.

    References:
        TrigReason, arXiv:2604.14847; see `Triggers`.
    """

    method = "trigreason"
    policy = Triggers
