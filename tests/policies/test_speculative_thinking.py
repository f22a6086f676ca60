"""Speculative Thinking: moods, whose beginning stands, and the recap."""

import random

import pytest
from support.plugins import spans
from support.steps import PROBLEM, draft, run

from collab.decisions import Consult, Continue, Inject
from collab.proposals import Proposal, Token
from collab.protocols import Case
from collab.testing import FakeModel, check_policy, check_recipe, check_verifier
from collab.verdicts import Abstain, Verdict
from collab_policies.moods import Mood, Moods, mood_of
from collab_policies.speculative_thinking import SpeculativeThinking, StepMood


async def test_it_keeps_to_the_contract() -> None:
    check_policy(StepMood())
    check_recipe(SpeculativeThinking())
    await check_verifier(Moods())


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("Wait, that", "reflection"),
        ("Let me verify", "verification"),
        ("So the answer is", "conclusion"),
        ("So b = 3", "none"),
        ("waiter and checkers", "none"),
    ],
)
def test_moods_are_told_by_words(text: str, mood: Mood) -> None:
    assert mood_of(text) == mood


def test_only_the_beginning_of_a_step_is_read() -> None:
    session = StepMood(look_ahead=20).start(PROBLEM, random.Random(0))

    assert session.glimpse() == 20
    assert session.decide_before(draft("Wait, no")) == Consult(why="reflection")
    assert session.decide_before(draft("So b")) == Continue()
    within = draft("Wait, no", answer="So a = 3 and")
    assert session.decide_before(within) == Continue(why="within a step")


def test_behind_too_many_looks_back_a_recap_is_put_in_and_a_mentor_writes() -> None:
    session = StepMood(patience=2, rescue_tokens=125, recap="Recap.").start(
        PROBLEM, random.Random(0)
    )

    for _ in range(2):
        session.decide_before(draft("Wait, no"))
    assert session.decide(draft()) == Inject("Recap.", why="looked back too often")
    assert session.glimpse() == 0
    assert session.decide_before(draft("")) == Consult(max_tokens=125, why="recap")
    assert session.glimpse() == 20

    for _ in range(7):  # the patience has grown from 2 to 7
        assert session.decide(draft()) == Continue()
        session.decide_before(draft("Wait, no"))
    assert isinstance(session.decide(draft()), Inject)
    assert session.decide_before(draft("")) == Consult(max_tokens=150, why="recap")


def proposal(author: str, text: str) -> Proposal:
    return Proposal(author, (Token(0, text),), "length")


@pytest.mark.parametrize(
    ("own", "offered", "preferred", "stands"),
    [
        ("Wait, no", "So b", False, "mentor"),
        ("Wait, no", "Wait, yes", False, "generator"),
        ("Wait, no", "Wait, yes", True, "mentor"),
    ],
)
async def test_the_mentors_beginning_stands_where_the_moods_differ(
    own: str, offered: str, preferred: bool, stands: str
) -> None:
    verifier = Moods(is_mentor_preferred=preferred).start(PROBLEM, random.Random(0))
    proposals = (proposal("generator", own), proposal("mentor", offered))

    verdict = await verifier.verify(
        Case(draft(own), proposals, "mentor", ""),
        None,  # type: ignore[arg-type]  # it asks no model
    )

    assert isinstance(verdict, Verdict)
    assert verdict.stands == stands


async def test_a_draft_alone_is_none_of_its_business() -> None:
    verifier = Moods().start(PROBLEM, random.Random(0))
    one = draft("Wait")

    verdict = await verifier.verify(
        Case(one, (one.proposal,), "", ""),
        None,  # type: ignore[arg-type]  # it asks no model
    )

    assert isinstance(verdict, Abstain)


async def test_the_mentor_begins_a_step_and_the_generator_ends_it() -> None:
    recipe = SpeculativeThinking(look_ahead=2, thinking_end=None).recipe()
    generator = FakeModel("So a b c.\n\nWait b b c d.\n\nSo c.")
    mentor = FakeModel("So A B C.\n\nNow B B C D.\n\nSo C.")

    result = await run(recipe, generator, mentor)

    assert spans(result) == [
        ("generator", "So a b c.\n\n"),
        ("mentor", "Now B"),
        ("generator", " b c d.\n\n"),
        ("generator", "So c."),
    ]
