"""Conformance checks: what every policy, verifier, backend and recipe has to keep to.

Each raises `ConformanceError` with one sentence. They are meant for the first test of a plug-in::

    def test_it_is_a_policy():
        check_policy(MyPolicy())
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import get_args

from pydantic import BaseModel, ValidationError

from collab.decisions import Consult, Continue, Decision, Mark
from collab.problems import Problem
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.protocols import Case, Draft, Policy, PolicySession, Steerer, Verifier
from collab.recipes import Recipe, RecipeFactory
from collab.roles import GENERATOR, MENTOR
from collab.seam import ConsultationBackend, ObservedSession, Session
from collab.signals import Steering
from collab.verdicts import NOBODY, Abstain, Verdict
from collab.views import View

_PROBLEM = Problem(id="check", prompt="What is 2 + 2?", answer="4")
_WORDS = ("The", " answer", " is", " four", ".")


class ConformanceError(AssertionError):
    """A plug-in does not keep to its contract."""


def check_policy(policy: Policy) -> None:
    """Check that `policy` is a frozen value with independent, repeatable, valid sessions."""
    _check_value(policy)
    first, second = _decisions(policy), _decisions(policy)
    _ensure(first == second, "two sessions with the same random stream decide differently")
    start = policy.start
    _ensure(
        start(_PROBLEM, random.Random(0)) is not start(_PROBLEM, random.Random(0)),
        "start() returns the same session twice; memory of one problem would leak into another",
    )


def check_steerer(steerer: Steerer) -> None:
    """Check that `steerer` is a frozen value whose sessions answer alike."""
    _check_value(steerer)
    texts = ["", "So one.", "So one.\n\nWait, two.\n\n"]
    first, second = (steerer.start(_PROBLEM, random.Random(0)) for _ in range(2))
    _ensure(first is not second, "start() returns the same session twice")
    for text in texts:
        steering: object = first.steering(text)
        _ensure(
            steering is None or isinstance(steering, Steering),
            f"steering() returned {steering!r}; expected a Steering or None",
        )
        _ensure(steering == second.steering(text), "two sessions steer differently")
        ahead: object = first.ahead()
        _ensure(
            isinstance(ahead, int) and ahead >= 1,
            f"ahead() returned {ahead!r}; expected a number of units, at least 1",
        )


async def check_verifier(verifier: Verifier, *, hidden_size: int = 64) -> None:
    """Check that `verifier` is a frozen value which answers both kinds of question.

    Args:
        verifier: The plug-in.
        hidden_size: Width of the hidden states that it is handed.
    """
    _check_value(verifier)
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
        _ensure(
            isinstance(answer, Abstain)
            or (isinstance(answer, Verdict) and answer.stands in {NOBODY, *lengths}),
            f"verify() returned {answer!r}; expected Abstain or a Verdict for one of the authors",
        )
        if isinstance(answer, Verdict) and answer.stands and answer.upto is not None:
            length = lengths[answer.stands]
            _ensure(1 <= answer.upto <= length, f"upto={answer.upto} is outside 1..{length}")


def check_recipe(recipe: RecipeFactory) -> None:
    """Check that `recipe` is a frozen value which makes a recipe of conforming plug-ins."""
    _check_value(recipe)
    made: object = recipe.recipe()
    if not isinstance(made, Recipe):
        raise ConformanceError(f"recipe() returned {made!r}, not a Recipe")
    _ensure(recipe.recipe() == made, "recipe() makes a different recipe each time")
    check_policy(made.policy)
    for verifier in made.verifiers:
        _check_value(verifier)


async def check_backend(backend: ConsultationBackend, prompt: str = "What is 2 + 2?\n") -> None:
    """Check that the model behind `backend` keeps to the contract of sessions, with real calls."""
    _check_value(backend)
    async with backend.connect() as model:
        _ensure(bool(model.name), "the model has no name")
        view = View(GENERATOR, prompt, backend.view)
        async with model.open(view, seed=0) as session:
            await _check_replay(session)
            await _check_fork(session)
            if model.capabilities.can_judge:
                await _check_judge(session)
            if model.capabilities.can_score:
                await _check_score(session)
            if isinstance(session, ObservedSession) and model.capabilities.has_hidden_states:
                await _check_observe(session, session, model.capabilities.hidden_size)


async def _check_replay(session: Session) -> None:
    start = session.mark
    short = await session.generate(Until(2), Sampling())
    _ensure(len(short.tokens) <= 2, f"asked for 2 tokens, got {len(short.tokens)}")
    spent = session.meter.completion_tokens
    again = await session.generate(Until(2), Sampling())
    _ensure(again.text == short.text, "generate() from the same head gives another text")
    _ensure(session.meter.completion_tokens == spent, "what was decoded is decoded again")
    longer = await session.generate(Until(6), Sampling())
    _ensure(longer.text.startswith(short.text), "looking further ahead changes the text")
    session.commit(len(short.tokens))
    rest = await session.generate(Until(4), Sampling())
    _ensure(short.text + rest.text == longer.text, "commit() changes the text behind the head")
    session.append(" and")
    await session.generate(Until(2), Sampling())
    session.rollback(start)
    back = await session.generate(Until(6), Sampling())
    _ensure(back.text == longer.text, "rollback() does not restore the text")


async def _check_fork(session: Session) -> None:
    before = await session.generate(Until(4), Sampling())
    async with session.fork() as twin:
        mine = await twin.generate(Until(4), Sampling())
        _ensure(mine.text == before.text, "a fork continues differently")
        twin.append(" something else")
        await twin.generate(Until(2), Sampling())
    after = await session.generate(Until(4), Sampling())
    _ensure(after.text == before.text, "a fork changes the session it was taken from")


async def _check_judge(session: Session) -> None:
    before = await session.generate(Until(4), Sampling())
    answer = await session.judge("\nA or B? (", ("A", "B"))
    _ensure(set(answer.labels) == {"A", "B"}, f"judged labels are {sorted(answer.labels)}")
    _ensure(
        all(0 <= p <= 1 for p in answer.labels.values()), "a label's probability is not in 0..1"
    )
    _ensure(
        answer.likeliest is None or isinstance(answer.likeliest, str),
        "the likeliest token of a judgement is neither a text nor None",
    )
    after = await session.generate(Until(4), Sampling())
    _ensure(after.text == before.text, "judge() changes the text")


async def _check_score(session: Session) -> None:
    scored = await session.score(" is four")
    _ensure("".join(token.text for token in scored) == " is four", "score() is of another text")
    known = [token.logprob for token in scored]
    _ensure(all(p is not None and p <= 0 for p in known), "a log-probability is above 0 or missing")


async def _check_observe(
    session: Session, observed: ObservedSession, hidden_size: int | None
) -> None:
    before = await session.generate(Until(4), Sampling())
    state = await observed.observe("\nA or B? (", -1)
    width = len(state)
    _ensure(width == hidden_size, f"a hidden state has {width} numbers, hidden_size {hidden_size}")
    after = await session.generate(Until(4), Sampling())
    _ensure(after.text == before.text, "observe() changes the text")


# --- helpers ----------------------------------------------------------------------------------


def _check_value(plugin: object) -> None:
    if not isinstance(plugin, BaseModel):
        raise ConformanceError(f"{plugin!r} is not a pydantic model")
    _ensure(bool(plugin.model_config.get("frozen")), "its model_config is not frozen")
    try:
        type(plugin).model_validate({**dict(plugin), "no_such_option_": 1})
    except ValidationError:
        return
    raise ConformanceError("it accepts unknown options; set extra='forbid'")


def _decisions(policy: Policy) -> list[Decision]:
    session = policy.start(_PROBLEM, random.Random(7))
    decisions: list[Decision] = []
    unit = 0
    while unit < 2_000 and len(decisions) < 20:
        ahead = session.ahead()
        _ensure(isinstance(ahead, int) and ahead >= 1, f"ahead() returned {ahead!r}, not >= 1")
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
    _ensure(
        signal is None or is_number,
        f"{place} returned a decision with the signal {signal!r}, which is no number; give None "
        "where there is none",
    )


def _wish(session: PolicySession, unit: int) -> Consult | None:
    tokens: object = session.glimpse()
    if tokens is None:
        return None
    _ensure(
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


class _EvenDesk:
    """Gives every label the same probability, and states of zeros."""

    def __init__(self, hidden_size: int) -> None:
        self._hidden_size = hidden_size

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        return Distribution({label: 1 / len(labels) for label in labels}, likeliest=labels[0])

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        return _tokens(*(part for part in [text] if part))

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        return [0.0] * self._hidden_size

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        return Proposal(role, _tokens(" The answer is 4.")[:max_tokens], "eos")


def _ensure(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConformanceError(otherwise)
