"""Texts that think first: where thinking ends, and who writes the answer."""

from typing import Any

import pytest
from support.plugins import Scripted, solve, spans

from collab import Consult, Controller, Phases, Problem, Recipe, StepUnit
from collab.errors import CapabilityError, ConfigError
from collab.proposals import Until
from collab.testing import FakeBackend, FakeModel
from collab.views import ThinkingTags, ViewOptions
from collab_policies.never import Never

THOUGHT = "So a one.\n\nSo b two.</think>\n\nI say 3."
WHOLE = "So a one.\n\nSo b two.\n</think>\n\nI say 3."
STEPWISE: dict[str, Any] = {"unit": StepUnit(), "segment": Until(64, StepUnit())}
PHASES = Phases(answer_tokens=20)
BY_GENERATOR = Phases(answer_by="generator", answer_tokens=20)


async def test_the_mentor_answers_behind_the_thinking() -> None:
    mentor = FakeModel("So a one.\n\nSo b two.</think>\n\nIt is 3.")
    result = await solve(
        Never(), generator=FakeModel(THOUGHT), mentor=mentor, phases=PHASES, **STEPWISE
    )

    assert spans(result) == [
        ("generator", "So a one.\n\nSo b two."),
        ("phases", "\n</think>\n\n"),
        ("mentor", "It is 3."),
    ]
    assert (result.reason, result.calls[-1].purpose) == ("eos", "answer")


async def test_the_generator_may_answer_itself() -> None:
    result = await solve(Never(), generator=FakeModel(THOUGHT), phases=BY_GENERATOR, **STEPWISE)

    assert (result.text, result.reason) == (WHOLE, "eos")
    assert result.mentor_share == 0


async def test_the_policy_is_asked_about_the_last_thought_and_not_about_the_answer() -> None:
    policy = Scripted(script={1: Consult(), 2: Consult()})
    mentor = FakeModel("So a one.\n\nSo b zwei.</think>\n\nIt is 3.")

    result = await solve(
        policy, generator=FakeModel(THOUGHT), mentor=mentor, phases=PHASES, **STEPWISE
    )

    assert result.text == "So a one.\n\nSo b zwei.\n</think>\n\nIt is 3."
    assert [call.purpose for call in result.calls if call.role == "mentor"] == ["consult", "answer"]


async def test_a_repeated_thought_ends_the_thinking() -> None:
    generator = FakeModel("So a.\n\nSo a.\n\nSo a.\n\nnever")
    mentor = FakeModel("So a.\n\n</think>\n\n3.")

    result = await solve(
        Never(), generator=generator, mentor=mentor, phases=PHASES, repeat_limit=2, **STEPWISE
    )

    assert result.text == "So a.\n\n</think>\n\n3."


async def test_thinking_leaves_the_answer_its_tokens() -> None:
    generator = FakeModel(" ".join(["w"] * 100))
    mentor = FakeModel(" ".join(["w"] * 10) + "\n</think>\n\n" + " ".join(["a"] * 30))

    result = await solve(
        Never(),
        generator=generator,
        mentor=mentor,
        phases=PHASES,
        max_answer_tokens=30,
        **STEPWISE,
    )

    assert [span.tokens for span in result.spans] == [10, 0, 20]
    assert result.text.startswith(" ".join(["w"] * 10) + "\n</think>\n\n")
    assert result.reason == "length"


async def test_a_text_that_ends_while_it_thinks_ends_the_problem() -> None:
    result = await solve(
        Never(), generator=FakeModel("So a."), mentor=FakeModel("x"), phases=PHASES, **STEPWISE
    )

    assert (result.text, result.reason) == ("So a.", "eos")


async def test_a_mentor_that_ends_the_thinking_in_its_step_ends_it() -> None:
    mentor = FakeModel("So a one.</think>\n\nIt is 3.")

    result = await solve(
        Scripted(script={0: Consult()}),
        generator=FakeModel(THOUGHT),
        mentor=mentor,
        phases=PHASES,
        **STEPWISE,
    )

    assert result.text == "So a one.\n</think>\n\nIt is 3."


async def test_each_participant_has_its_own_closing_tag() -> None:
    mentor = FakeModel("So a one.[end]\n\nIt is 3.")
    recipe = Recipe(policy=Scripted(script={0: Consult()}), phases=PHASES, **STEPWISE)
    tags = ThinkingTags(opening="[begin]", closing="[end]")

    async with Controller(
        generator=FakeBackend(model=FakeModel(THOUGHT), view=ViewOptions(thinking=ThinkingTags())),
        mentor=FakeBackend(model=mentor, view=ViewOptions(thinking=tags)),
        recipe=recipe,
    ) as controller:
        result = await controller.solve(Problem(id="p", prompt="q"))

    assert result.text == "So a one.\n</think>\n\nIt is 3."


async def test_a_recipe_whose_answer_nobody_writes_is_refused() -> None:
    with pytest.raises(CapabilityError, match="phases needs a participant 'mentor'"):
        await solve(Never(), generator=FakeModel(THOUGHT), phases=PHASES, **STEPWISE)


def test_phases_that_leave_no_token_to_think_are_refused() -> None:
    with pytest.raises(ConfigError, match="of 512 tokens .* none is left to think"):
        Recipe(policy=Never(), phases=Phases())
