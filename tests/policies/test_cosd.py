"""CoSD: which token of a draft a mentor replaces."""

import math
import random

import pytest
from support.cases import between, proposal

from collab import (
    NOBODY,
    Abstain,
    Candidate,
    Consult,
    Draft,
    Mark,
    Problem,
    Proposal,
    Token,
    Verdict,
    Verify,
)
from collab.protocols import Case
from collab.testing import FakeDesk, check_policy, check_recipe, check_verifier
from collab_policies.cosd import CoSD
from collab_policies.every_draft import EveryDraft
from collab_policies.surer_token import SurerToken

PROBLEM = Problem(id="p", prompt="q")


def own(text: str, probability: float) -> Token:
    return Token(-1, text, math.log(probability))


def theirs(text: str, likeliest: str, probability: float) -> Token:
    return Token(-1, text, -9.0, top=(Candidate(-1, likeliest, math.log(probability)),))


class Scores(FakeDesk):
    """Scores a draft with given tokens."""

    def __init__(self, *tokens: Token) -> None:
        self._tokens = tokens

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        assert (role, "".join(one.text for one in self._tokens)) == ("mentor", text)
        return self._tokens


async def verdict_on(
    draft: tuple[Token, ...], *scored: Token, options: SurerToken | None = None
) -> Verdict | Abstain:
    unit = Draft(Proposal("generator", draft, "length"), 0, Mark(0), answer="")
    session = (options or SurerToken()).start(PROBLEM, random.Random(0))
    return await session.verify(
        Case(unit, (unit.proposal,), "", answer=""),
        Scores(*scored),
    )


DRAFT = (own("a", 0.9), own(" b", 0.3), own(" c", 0.2))


async def test_they_are_plugins() -> None:
    check_policy(EveryDraft())
    await check_verifier(SurerToken())
    check_recipe(CoSD())


def test_every_draft_is_verified_and_redone_by_a_few_tokens() -> None:
    session = EveryDraft(tokens=2).start(PROBLEM, random.Random(0))
    draft = Draft(Proposal("generator", DRAFT, "length"), 0, Mark(0), answer="")

    decision = session.decide(draft)

    assert decision == Verify(Consult(max_tokens=2, why="replaced"), why="scored")


async def test_a_draft_stands_up_to_a_token_that_the_mentor_knows_better() -> None:
    verdict = await verdict_on(
        DRAFT, theirs("a", "a", 0.9), theirs(" b", " X", 0.8), theirs(" c", " Y", 0.9)
    )

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.upto) == ("generator", 1)
    assert verdict.score == pytest.approx(0.8 - 0.3)


async def test_nobody_stands_where_it_is_the_first_token() -> None:
    verdict = await verdict_on((own("a", 0.2),), theirs("a", "X", 0.8))

    assert isinstance(verdict, Verdict)
    assert verdict.stands == NOBODY


@pytest.mark.parametrize(
    ("draft", "scored"),
    [
        (own("a", 0.3), theirs("a", "a", 0.9)),  # the mentor says the same
        (own("a", 0.6), theirs("a", "X", 0.9)),  # the generator is sure
        (own("a", 0.4), theirs("a", "X", 0.15)),  # the mentor is no surer
        (own("a", 0.4), Token(-1, "a", -9.0)),  # the mentor's alternatives are not known
        (Token(-1, "a"), theirs("a", "X", 0.9)),  # the generator's probability is not known
    ],
)
async def test_a_draft_stands_where_nothing_is_to_be_replaced(draft: Token, scored: Token) -> None:
    verdict = await verdict_on((draft,), scored)

    assert verdict == Verdict("generator", why="nothing to replace")


async def test_a_token_that_the_mentor_cuts_elsewhere_is_read_over() -> None:
    draft = (own("a", 0.9), own("b", 0.1))

    verdict = await verdict_on(draft, theirs("ab", "X", 0.9))

    assert verdict == Verdict("generator", why="nothing to replace")


async def test_it_scores_drafts_only() -> None:
    session = SurerToken().start(PROBLEM, random.Random(0))
    question = between(proposal("generator", "a"), proposal("mentor", "b"))

    answer = await session.verify(question, Scores())

    assert isinstance(answer, Abstain)
