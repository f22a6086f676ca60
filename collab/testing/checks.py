"""Conformance checks: what every policy, verifier, steerer and recipe has to keep to.

Each raises `ConformanceError` with one sentence. They are meant for the first test of a plug-in::

    def test_it_is_a_policy():
        check_policy(MyPolicy())
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import get_args

from collab.decisions import Consult, Continue, Decision, Mark
from collab.problems import Problem
from collab.proposals import Distribution, Proposal, Token
from collab.protocols import Case, Draft, Policy, PolicySession, Steerer, Verifier
from collab.recipes import Recipe, RecipeFactory
from collab.roles import GENERATOR, MENTOR
from collab.signals import Steering
from collab.testing.conformance import ConformanceError, check_value, ensure
from collab.testing.desks import FakeDesk
from collab.verdicts import NOBODY, Abstain, Verdict

_PROBLEM = Problem(id="check", prompt="What is 2 + 2?", answer="4")
_WORDS = ("The", " answer", " is", " four", ".")


def check_policy(policy: Policy) -> None:
    """Check that `policy` is a frozen value with independent, repeatable, valid sessions."""
    check_value(policy)
    first, second = _decisions(policy), _decisions(policy)
    ensure(first == second, "two sessions with the same random stream decide differently")
    start = policy.start
    ensure(
        start(_PROBLEM, random.Random(0)) is not start(_PROBLEM, random.Random(0)),
        "start() returns the same session twice; memory of one problem would leak into another",
    )


def check_steerer(steerer: Steerer) -> None:
    """Check that `steerer` is a frozen value whose sessions answer alike."""
    check_value(steerer)
    texts = ["", "So one.", "So one.\n\nWait, two.\n\n"]
    first, second = (steerer.start(_PROBLEM, random.Random(0)) for _ in range(2))
    ensure(first is not second, "start() returns the same session twice")
    for text in texts:
        steering: object = first.steering(text)
        ensure(
            steering is None or isinstance(steering, Steering),
            f"steering() returned {steering!r}; expected a Steering or None",
        )
        ensure(steering == second.steering(text), "two sessions steer differently")
        ahead: object = first.ahead()
        ensure(
            isinstance(ahead, int) and ahead >= 1,
            f"ahead() returned {ahead!r}; expected a number of units, at least 1",
        )


async def check_verifier(verifier: Verifier, *, hidden_size: int = 64) -> None:
    """Check that `verifier` is a frozen value which answers both kinds of question.

    Args:
        verifier: The plug-in.
        hidden_size: Width of the hidden states that it is handed.
    """
    check_value(verifier)
    draft = _draft(0)
    own = Proposal(GENERATOR, draft.tokens + _tokens(" own", " way"), "length")
    offered = Proposal(MENTOR, _tokens(" other", " way"), "length")
    for proposals, mentor in (
        ((own, offered), MENTOR),
        ((draft.proposal,), ""),
    ):
        lengths = {one.author: len(one.tokens) for one in proposals}
        session = verifier.start(_PROBLEM, random.Random(0))
        case = Case(draft, proposals, mentor, answer="")
        answer: object = await session.verify(case, _EvenDesk(hidden_size))
        ensure(
            isinstance(answer, Abstain)
            or (isinstance(answer, Verdict) and answer.stands in {NOBODY, *lengths}),
            f"verify() returned {answer!r}; expected Abstain or a Verdict for one of the authors",
        )
        if isinstance(answer, Verdict) and answer.stands and answer.upto is not None:
            length = lengths[answer.stands]
            ensure(1 <= answer.upto <= length, f"upto={answer.upto} is outside 1..{length}")


def check_recipe(recipe: RecipeFactory) -> None:
    """Check that `recipe` is a frozen value which makes a recipe of conforming plug-ins."""
    check_value(recipe)
    made: object = recipe.recipe()
    if not isinstance(made, Recipe):
        raise ConformanceError(f"recipe() returned {made!r}, not a Recipe")
    ensure(recipe.recipe() == made, "recipe() makes a different recipe each time")
    check_policy(made.policy)
    for verifier in made.verifiers:
        check_value(verifier)


# --- helpers ----------------------------------------------------------------------------------


def _decisions(policy: Policy) -> list[Decision]:
    session = policy.start(_PROBLEM, random.Random(7))
    decisions: list[Decision] = []
    unit = 0
    while unit < 2_000 and len(decisions) < 20:
        ahead = session.ahead()
        ensure(isinstance(ahead, int) and ahead >= 1, f"ahead() returned {ahead!r}, not >= 1")
        unit += ahead
        if ahead > 2_000:
            break
        if ahead == 1 and (wish := _wish(session, unit - 1)):
            decisions.append(wish)
            continue
        decision: object = session.decide(_draft(unit - 1))
        if not isinstance(decision, get_args(Decision)):
            raise ConformanceError(f"decide() returned {decision!r}, which is no decision")
        _ensure_signal(decision, "decide()")
        decisions.append(decision)
    return decisions


def _ensure_signal(decision: Decision, place: str) -> None:
    """Refuse a signal that is no number: no threshold holds for it, and it equals nothing."""
    signal: object = decision.signal
    is_number = isinstance(signal, int | float) and isfinite(signal)
    ensure(
        signal is None or is_number,
        f"{place} returned a decision with the signal {signal!r}, which is no number; give None "
        "where there is none",
    )


def _wish(session: PolicySession, unit: int) -> Consult | None:
    tokens: object = session.glimpse()
    if tokens is None:
        return None
    ensure(
        isinstance(tokens, int) and tokens >= 0, f"glimpse() returned {tokens!r}, not None or >= 0"
    )
    decision: object = session.decide_before(replace(_draft(unit), is_partial=True))
    if not isinstance(decision, Continue | Consult):
        raise ConformanceError(f"decide_before() returned {decision!r}, not Continue or Consult")
    _ensure_signal(decision, "decide_before()")
    return decision if isinstance(decision, Consult) else None


def _draft(unit: int) -> Draft:
    word = _WORDS[unit % len(_WORDS)]
    entropy = (unit % 7) / 3
    token = Token(unit, word, logprob=-entropy, entropy_nats=entropy, margin=1.0)
    proposal = Proposal(GENERATOR, (token,), "unit", (1,))
    return Draft(proposal, unit, Mark(unit), answer="".join(_WORDS)[:unit])


def _tokens(*texts: str) -> tuple[Token, ...]:
    return tuple(Token(n, text, logprob=-0.5) for n, text in enumerate(texts))


class _EvenDesk(FakeDesk):
    """Gives every label the same probability, and states of zeros."""

    def __init__(self, hidden_size: int) -> None:
        self._hidden_size = hidden_size

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        return Distribution({label: 1 / len(labels) for label in labels}, likeliest=labels[0])

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        return _tokens(*(part for part in [text] if part))

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        return [0.0] * self._hidden_size

    async def reward(self, role: str, steps: Sequence[str]) -> Sequence[float]:
        return [0.5] * len(steps)

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        return Proposal(role, _tokens(" The answer is 4.")[:max_tokens], "eos")
