"""Nudging: where the base model is unsure, and up to where the words of the aligned one stand."""

import math
import random
from collections.abc import Sequence

import pytest
from support.cases import between, draft_alone, proposal

from collab import Abstain, Candidate, Consult, Continue, Draft, Mark, Problem, Token, Verdict
from collab.proposals import Proposal
from collab.testing import FakeDesk, check_policy, check_recipe, check_verifier
from collab_policies.nudging import Nudging
from collab_policies.unsure_token import UnsureToken
from collab_policies.until_sure import UntilSure

PROBLEM = Problem(id="p", prompt="q")


def token(text: str, sureness: float, likeliest: str | None = None) -> Token:
    top = Candidate(-1, likeliest or text, math.log(sureness))
    return Token(-1, text, math.log(sureness), top=(top,))


def draft(*tokens: Token) -> Draft:
    return Draft(Proposal("generator", tokens, "length"), 0, Mark(0), answer="")


class Scores(FakeDesk):
    """Scores the mentor's words with given tokens."""

    def __init__(self, *tokens: Token) -> None:
        self._tokens = tokens

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        assert (role, "".join(one.text for one in self._tokens)) == ("generator", text)
        return self._tokens


async def verdict_on(words: Sequence[str], *scored: Token) -> Verdict | Abstain:
    session = UntilSure(threshold=0.4).start(PROBLEM, random.Random(0))
    question = between(proposal("generator", "x"), proposal("mentor", *words))
    return await session.verify(question, Scores(*scored))


async def test_they_are_plugins() -> None:
    check_policy(UnsureToken())
    await check_verifier(UntilSure())
    check_recipe(Nudging())


def test_a_unit_ends_at_the_first_unsure_token() -> None:
    session = UnsureToken(threshold=0.4).start(PROBLEM, random.Random(0))

    assert not session.watch([token("a", 0.9)])
    assert session.watch([token("a", 0.9), token(" b", 0.39)])


def test_what_stands_before_the_unsure_token_is_kept() -> None:
    session = UnsureToken(threshold=0.4).start(PROBLEM, random.Random(0))

    decision = session.decide(draft(token("a", 0.9), token(" b", 0.8), token(" c", 0.25)))

    assert isinstance(decision, Consult)
    assert (decision.keep, decision.mentor) == (2, "mentor")
    assert decision.signal == pytest.approx(0.25)


def test_a_sure_draft_goes_on() -> None:
    session = UnsureToken(threshold=0.4).start(PROBLEM, random.Random(0))

    assert isinstance(session.decide(draft(token("a", 0.9))), Continue)


async def test_the_generator_takes_over_where_it_is_sure_again() -> None:
    # The base model's own tokens cut the second word in two.
    verdict = await verdict_on(
        ["So", " the", "n", " we"],
        token("So", 0.1, "Now"),
        token(" then", 0.2, " what"),
        token(" we", 0.9, " you"),
    )

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.upto, verdict.why) == ("mentor", 3, "sure again")
    assert verdict.score == pytest.approx(0.9)


async def test_the_generator_takes_over_where_it_would_say_the_same() -> None:
    verdict = await verdict_on(
        ["So", " then", " we"],
        token("So", 0.1, "Now"),
        token(" then", 0.2, " then"),
        token(" we", 0.2, " you"),
    )

    assert isinstance(verdict, Verdict)
    assert verdict.upto == 1


async def test_all_words_stand_where_the_generator_stays_unsure() -> None:
    verdict = await verdict_on(
        ["So", " then"], token("So", 0.1, "Now"), token(" then", 0.2, " what")
    )

    assert verdict == Verdict("mentor", why="unsure to the end")


async def test_the_first_word_stands_in_any_case() -> None:
    verdict = await verdict_on(["So"], token("So", 0.99))

    assert verdict == Verdict("mentor", why="unsure to the end")


async def test_a_word_that_begins_within_a_token_is_read_over() -> None:
    verdict = await verdict_on(["So", " we"], token("So we", 0.9))

    assert verdict == Verdict("mentor", why="unsure to the end")


async def test_it_compares_words_only() -> None:
    session = UntilSure().start(PROBLEM, random.Random(0))

    answer = await session.verify(draft_alone("a"), Scores())

    assert isinstance(answer, Abstain)
