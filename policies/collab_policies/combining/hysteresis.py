"""The policy `hysteresis`: two thresholds over another policy's signal."""

import random
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision, Finish, Inject
from collab.options import MentorName
from collab.problems import Problem
from collab.protocols import Draft, PolicySession
from collab.roles import MENTOR
from collab_policies.combining.combined import is_asking
from collab_policies.combining.single import SinglePolicy, SingleSession


class Hysteresis(SinglePolicy):
    """Ask from the unit on at which the signal of `policy` is `high`, until it falls below `low`.

    Of `policy` only the signal counts, and not whether it asks; it has to be one that is high where
    the generator fails, such as an entropy. Units without a signal are treated as the last one.
    Text that `policy` injects and its wish to finish pass.
    """

    high: float = Field(allow_inf_nan=False, description="Ask from this signal on.")
    low: float = Field(allow_inf_nan=False, description="Stop asking below this signal.")
    mentor: MentorName = MENTOR

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self

    @property
    def needs(self) -> Sequence[Need]:
        """What the policy needs, and the mentor."""
        return tuple(dict.fromkeys((*super().needs, Need(self.mentor, "text"))))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that remembers whether it asks."""
        return _HysteresisSession(self.policy.start(problem, rng), self)


class _HysteresisSession(SingleSession):
    def __init__(self, inner: PolicySession, options: Hysteresis) -> None:
        super().__init__(inner)
        self._options = options
        self._is_on = False

    def decide_before(self, draft: Draft) -> Decision:
        decision = self._inner.decide_before(draft)
        # Without a signal yet, the unit is written; `decide` may have one.
        return Continue() if decision.signal is None else self._judged(decision)

    def decide(self, draft: Draft) -> Decision:
        decision = self._inner.decide(draft)
        return decision if isinstance(decision, Inject | Finish) else self._judged(decision)

    def _judged(self, decision: Decision) -> Decision:
        options, signal = self._options, decision.signal
        if signal is not None:
            self._is_on = signal >= (options.low if self._is_on else options.high)
        if not self._is_on:
            return Continue(why="below", signal=signal)
        if is_asking(decision):
            return decision
        return Consult(options.mentor, why="not yet below", signal=signal)
