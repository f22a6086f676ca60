"""TrigReason: its three triggers, one by one."""

import math
import random

from support.steps import PROBLEM, calls, draft, reasons, run

from collab.decisions import Consult, Continue
from collab.protocols import PolicySession
from collab.testing import FakeModel, check_policy, check_recipe
from collab_policies.trigreason import Triggers, TrigReason

SURE, UNSURE = -math.log(1.01), -math.log(2)


def started(**options: float) -> PolicySession:
    return Triggers.model_validate({"plan_steps": 0, **options}).start(PROBLEM, random.Random(0))


def test_it_keeps_to_the_contract() -> None:
    check_policy(Triggers())
    check_recipe(TrigReason())


def test_the_plan_is_a_mentors() -> None:
    session = started(plan_steps=2)

    assert [session.glimpse() for _ in range(1)] == [0]
    assert session.decide_before(draft()) == Consult(why="plan")
    assert session.decide_before(draft()) == Consult(why="plan")
    assert session.glimpse() is None


def test_a_step_with_too_many_sure_tokens_is_redone() -> None:
    session = started(confident_share=0.75)

    redone = session.decide(draft(logprobs=[SURE, SURE, SURE, UNSURE]))
    kept = session.decide(draft(logprobs=[SURE, SURE, UNSURE, UNSURE]))

    assert redone == Consult(why="overconfident", signal=0.75)
    assert kept == Continue(signal=0.5)


def test_a_mentor_writes_behind_steps_that_hesitate_in_a_row() -> None:
    session = started(hesitant_steps=2, rescue_steps=2)
    unsure = [UNSURE]

    session.decide(draft("Wait, no.\n\n", logprobs=unsure))
    session.decide(draft("So it is.\n\n", logprobs=unsure))
    session.decide(draft("Hmm, what.\n\n", logprobs=unsure))
    assert session.glimpse() is None
    session.decide(draft("Alternatively, x.\n\n", logprobs=unsure))

    assert session.glimpse() == 0
    assert [session.decide_before(draft()).why for _ in range(2)] == ["hesitant"] * 2
    assert session.glimpse() is None


def test_without_log_probabilities_nobody_is_overconfident() -> None:
    assert started().decide(draft()) == Continue(signal=None)


async def test_the_mentor_plans_and_answers() -> None:
    recipe = TrigReason(confident_share=1.1).recipe()
    texts = ("So a.\n\nSo b.</think>\n\nOne.", "So A.\n\nSo B.</think>\n\nTwo.")

    result = await run(recipe, FakeModel(texts[0]), FakeModel(texts[1]))

    assert result.text == "So A.\n\nSo b.\n</think>\n\nTwo."
    assert reasons(result)[0] == "plan"
    assert calls(result) == [
        ("mentor", "consult"),
        ("generator", "draft"),
        ("mentor", "answer"),
    ]
