"""Replaying: what a policy would have asked on texts that the generator wrote alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from collab.calibrating.steps import SignalledText
from collab.decisions import Consult
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession

_ROUNDS = 12

REPLAYED_STEPS = 4_000
"""Steps that are replayed at most: a share of so many is known to a point or two."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What a policy would have given to a mentor.

    Attributes:
        tokens: Share of the tokens of all steps, in [0, 1].
        steps: Share of the steps.
    """

    tokens: float
    steps: float


def replay(policy: Policy, texts: Sequence[SignalledText]) -> Shares:
    """Return what `policy` would have given to a mentor.

    The texts stay as the generator wrote them, and a mentor's step is taken to be as long as the
    generator's. So it is an estimate: what a mentor writes changes the text after it.
    """
    tokens = asked_tokens = steps = asked_steps = 0
    for text in texts:
        session = policy.start(Problem(id=text.problem, prompt="-"), random.Random(text.problem))
        answer = ""
        for unit, step in enumerate(text.steps):
            is_asked = _asks(session, step.draft(unit, answer))
            answer += step.text
            tokens += step.tokens
            steps += 1
            asked_tokens += step.tokens * is_asked
            asked_steps += is_asked
    return Shares(asked_tokens / max(tokens, 1), asked_steps / max(steps, 1))


def sample(texts: Sequence[SignalledText]) -> Sequence[SignalledText]:
    """Return texts spread over all of them, with about `REPLAYED_STEPS` steps."""
    steps = sum(len(text.steps) for text in texts)
    return texts[:: max(1, -(-steps // REPLAYED_STEPS))]


def boldness_for(target: float, share_of: Callable[[float], float]) -> float:
    """Return the boldness in [0, 1] whose share is nearest to `target`.

    Args:
        target: In [0, 1].
        share_of: Of a boldness; does not fall where it rises.
    """
    low, high = 0.0, 1.0
    ends = {low: share_of(low), high: share_of(high)}
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        ends[middle] = share_of(middle)
        low, high = (middle, high) if ends[middle] < target else (low, middle)
    return min((low, high, 0.0, 1.0), key=lambda one: abs(ends[one] - target))


def _asks(session: PolicySession, draft: Draft) -> bool:
    if session.ahead() == 1 and (glimpse := session.glimpse()) is not None:
        first = replace(
            draft,
            proposal=draft.proposal.part(0, min(glimpse, len(draft.tokens))),
            is_partial=True,
            beyond=(),
        )
        if isinstance(session.decide_before(first), Consult):
            return True
    return isinstance(session.decide(draft), Consult)
