"""GlimpRouter: every decision, the calls per step, and the published defaults."""

import random

import pytest
from support.plugins import spans
from support.steps import PROBLEM, calls, draft, reasons, run

from collab.decisions import Consult, Continue
from collab.protocols import PolicySession
from collab.testing import FakeModel, check_policy, check_recipe
from collab_policies.glimprouter import FirstTokenEntropy, GlimpRouter

TEXT = "So a.\n\nHm b.\n\nSo c.</think>\n\nIt is one."
MENTORS = "So A.\n\nSo B.\n\nSo C.</think>\n\nIt is two."


def started(**options: float) -> PolicySession:
    policy = FirstTokenEntropy.model_validate(options)
    return policy.start(PROBLEM, random.Random(0))


def test_it_keeps_to_the_contract() -> None:
    check_policy(FirstTokenEntropy())
    check_policy(FirstTokenEntropy(first_steps=3))
    check_recipe(GlimpRouter())


@pytest.mark.parametrize(("entropy", "asks"), [(0.99, False), (1.0, True), (2.5, True)])
def test_a_mentor_writes_from_the_threshold_on(entropy: float, asks: bool) -> None:
    session = started()

    decision = session.decide_before(draft(entropies=[entropy]))

    assert session.glimpse() == 1
    assert decision == (Consult(why="unsure", signal=entropy) if asks else Continue(signal=entropy))


def test_a_step_that_was_let_go_is_recorded_with_its_entropy() -> None:
    session = started()
    session.decide_before(draft(entropies=[0.5]))

    assert session.decide(draft(entropies=[0.5, 3.0])) == Continue(why="sure", signal=0.5)


def test_without_an_entropy_the_generator_writes() -> None:
    assert started().decide_before(draft(entropies=[None])) == Continue()


def test_a_threshold_of_zero_asks_always() -> None:
    assert isinstance(started(threshold_nats=0).decide_before(draft(entropies=[0.0])), Consult)


def test_first_steps_are_a_mentors_without_a_look() -> None:
    session = started(first_steps=1)

    assert session.glimpse() == 0
    assert session.decide_before(draft()) == Consult(why="first steps")
    assert session.glimpse() == 1


async def test_a_generators_step_is_one_call_and_a_mentors_two() -> None:
    generator = FakeModel(TEXT, entropies={"Hm": 1.2})

    result = await run(GlimpRouter().recipe(), generator, FakeModel(MENTORS))

    assert reasons(result) == ["sure", "unsure", "sure"]
    assert calls(result) == [
        ("generator", "draft"),
        ("generator", "draft"),
        ("mentor", "consult"),
        ("generator", "draft"),
        ("mentor", "answer"),
    ]
    assert spans(result)[1] == ("mentor", "So B.\n\n")
    assert result.text == "So a.\n\nSo B.\n\nSo c.\n</think>\n\nIt is two."


async def test_the_generator_answers_if_asked_to() -> None:
    recipe = GlimpRouter(answer_by="generator").recipe()

    result = await run(recipe, FakeModel(TEXT), FakeModel(MENTORS))

    assert result.text.endswith("\n</think>\n\nIt is one.")


async def test_two_equal_steps_end_the_thinking() -> None:
    generator = FakeModel("So a.\n\nSo a.\n\nSo never.")

    result = await run(GlimpRouter().recipe(), generator, FakeModel("So a.\n\n</think>\n\nTwo."))

    assert result.text == "So a.\n\n</think>\n\nTwo."


async def test_a_step_cut_at_its_longest_goes_on_in_the_next() -> None:
    recipe = GlimpRouter(step_tokens=3, thinking_end=None).recipe()

    result = await run(recipe, FakeModel("a b c d e.\n\nf."), FakeModel())

    assert result.text == "a b c d e.\n\nf."
    assert [span.text for span in result.spans] == ["a b c", " d e.", "\n\nf."]


async def test_blank_lines_make_no_empty_step() -> None:
    recipe = GlimpRouter(thinking_end=None).recipe()

    result = await run(recipe, FakeModel("a.\n\n\n\nb.\n\nc."), FakeModel())

    assert [span.text for span in result.spans] == ["a.\n\n", "\n\nb.\n\n", "c."]
