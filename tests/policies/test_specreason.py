"""SpecReason: grades, both ways to read them, and the calls per step."""

import random
from collections.abc import Mapping

import pytest
from pydantic import ValidationError
from support.plugins import spans
from support.steps import PROBLEM, calls, draft, run

from collab.decisions import Consult, Verify
from collab.testing import FakeModel, check_policy, check_recipe, check_verifier
from collab.trace import Verified
from collab.verdicts import Verdict
from collab_policies.specreason import EveryStep, SpecReason
from collab_policies.step_score import LABELS, Scoring, StepScore

TEXT = "So a.\n\nSo b."
MENTORS = "So A.\n\nSo B."


def graded(**digits: float) -> dict[str, float]:
    return {f" {name[1:]}": share for name, share in digits.items()}


async def solved(labels: Mapping[str, float], scoring: Scoring = "greedy") -> list[Verdict]:
    recipe = SpecReason(thinking_end=None, scoring=scoring).recipe()
    result = await run(recipe, FakeModel(TEXT), FakeModel(MENTORS, labels=labels))
    return [event.verdict for event in result.events if isinstance(event, Verified)]


async def test_it_keeps_to_the_contract() -> None:
    check_policy(EveryStep())
    check_recipe(SpecReason())
    await check_verifier(StepScore())


def test_every_step_is_verified_and_redone_by_the_mentor() -> None:
    session = EveryStep().start(PROBLEM, random.Random(0))

    assert session.glimpse() is None
    assert session.decide(draft()) == Verify(Consult(why="graded low"), why="graded")


def test_first_steps_are_a_mentors() -> None:
    session = EveryStep(first_steps=1).start(PROBLEM, random.Random(0))

    assert session.glimpse() == 0
    assert session.decide_before(draft()) == Consult(why="first steps")
    assert session.glimpse() is None


async def test_a_high_grade_lets_the_step_stand_in_two_calls() -> None:
    mentor = FakeModel(MENTORS, labels={" 9": 0.6, " 2": 0.4})

    result = await run(SpecReason(thinking_end=None).recipe(), FakeModel(TEXT), mentor)

    assert result.text == TEXT
    assert calls(result) == [("generator", "draft"), ("mentor", "judge")] * 2


async def test_a_low_grade_has_the_mentor_redo_it_in_three_calls() -> None:
    mentor = FakeModel(MENTORS, labels={" 6": 0.6, " 9": 0.4})

    result = await run(SpecReason(thinking_end=None).recipe(), FakeModel(TEXT), mentor)

    assert spans(result) == [("mentor", "So A.\n\n"), ("mentor", "So B.")]
    assert calls(result)[:3] == [
        ("generator", "draft"),
        ("mentor", "judge"),
        ("mentor", "consult"),
    ]


@pytest.mark.parametrize(
    ("digits", "scoring", "score", "stands"),
    [
        (graded(_7=0.5, _0=0.4), "greedy", 7.0, True),
        (graded(_7=0.5, _0=0.5), "expected", 3.5, False),
        (graded(_9=0.3, _6=0.1), "expected", 8.25, True),
        (graded(_9=0.4, _5=0.5), "greedy", 5.0, False),
    ],
)
async def test_grades_are_read_greedily_or_as_the_mean(
    digits: Mapping[str, float], scoring: Scoring, score: float, stands: bool
) -> None:
    verdict = (await solved(digits, scoring))[0]

    assert verdict.score == pytest.approx(score)
    assert (verdict.stands == "generator") is stands


async def test_a_mentor_that_answers_no_digit_lets_nothing_stand_and_it_is_said() -> None:
    verdict = (await solved({}))[0]

    assert (verdict.stands, verdict.score, verdict.why) == ("", 0.0, "the mentor answered no digit")


def test_labels_are_ten_different_ones() -> None:
    with pytest.raises(ValidationError, match="ten different labels"):
        StepScore(labels=LABELS[:9])
