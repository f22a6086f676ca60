"""The controls: random steps and exact repetitions."""

import random

from support.plugins import spans
from support.steps import PROBLEM, calls, draft, run

from collab.decisions import Consult, Continue
from collab.testing import FakeModel, check_policy, check_recipe
from collab_policies.random_steps import RandomSteps, RandomStepsRecipe
from collab_policies.string_loop import StringLoop, StringLoopRecipe


def test_they_keep_to_the_contract() -> None:
    for policy in (RandomSteps(), StringLoop()):
        check_policy(policy)
    for recipe in (RandomStepsRecipe(), StringLoopRecipe()):
        check_recipe(recipe)


def test_random_steps_are_one_draw_per_step_before_it() -> None:
    draws = random.Random(5)
    session = RandomSteps(rate=0.3).start(PROBLEM, random.Random(5))

    assert session.glimpse() == 0
    for _ in range(100):
        wanted = Consult(why="drawn") if draws.random() < 0.3 else Continue()
        assert session.decide_before(draft()) == wanted


async def test_a_random_step_of_the_mentor_costs_the_generator_nothing() -> None:
    recipe = RandomStepsRecipe(rate=1, thinking_end=None).recipe()
    generator = FakeModel("So a.\n\nSo b.")

    result = await run(recipe, generator, FakeModel("So A.\n\nSo B."))

    assert calls(result) == [("mentor", "consult")] * 2
    assert generator.decoded == 0


def test_a_step_said_before_is_a_mentors_whatever_its_blanks() -> None:
    session = StringLoop(window=2).start(PROBLEM, random.Random(0))

    assert session.decide(draft("So a.\n\n", answer="So a.\n\nSo b.\n\n")) == Consult(
        why="repeated", signal=1.0
    )
    assert session.decide(draft("So a.\n\n", answer="So a.\n\nSo b.\n\nSo c.\n\n")) == Continue(
        why="new", signal=0.0
    )


async def test_the_mentor_redoes_a_repetition() -> None:
    recipe = StringLoopRecipe(thinking_end=None, repeat_limit=0).recipe()

    result = await run(
        recipe, FakeModel("So a.\n\nSo a.\n\nSo c."), FakeModel("So A.\n\nSo B.\n\nSo C.")
    )

    assert spans(result) == [
        ("generator", "So a.\n\n"),
        ("mentor", "So B.\n\n"),
        ("generator", "So c."),
    ]
