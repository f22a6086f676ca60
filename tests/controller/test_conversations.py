"""Problems that are conversations, through the controller."""

import pytest

from collab import Controller, Problem, Recipe
from collab.errors import InvalidPromptError
from collab.messages import Message
from collab.testing import FakeBackend, FakeModel
from collab_backends.local.backend import LocalTorch
from collab_policies.always import Always
from collab_policies.never import Never

ASKED = Message(role="user", content="Mod 10: m = 8, c = m - 2.")
TALK = (ASKED, Message(role="assistant", content="4"), Message(role="user", content="And c?"))


async def test_both_models_are_shown_the_whole_conversation() -> None:
    text = "user: Mod 10: m = 8, c = m - 2.\n\nassistant: 4\n\nuser: And c?"
    models = [FakeModel(answers={text: " c is six"}), FakeModel(answers={text: " c is 6"})]
    generator, mentor = (FakeBackend(model=model) for model in models)

    async with Controller(
        generator=generator, mentor=mentor, recipe=Recipe(policy=Always())
    ) as controller:
        result = (await controller.solve(Problem(prompt=TALK))).raise_for_error()

    assert result.text == " c is 6"


async def test_a_conversation_that_a_template_does_not_show_fails_only_its_problem() -> None:
    backend = LocalTorch(model="lab/generator", threads=1)
    problems = [Problem(id="talk", prompt=TALK), Problem(id="one", prompt=(ASKED,))]
    recipe = Recipe(policy=Never(), max_answer_tokens=4)

    async with Controller(generator=backend, recipe=recipe) as controller:
        async with controller.map(problems, concurrency=2) as results:
            found = {result.problem.id: result async for result in results}

    assert found["one"].error is None
    with pytest.raises(InvalidPromptError, match="'lab/generator' does not show message 1"):
        found["talk"].raise_for_error()


async def test_one_message_is_answered_as_its_text() -> None:
    backend = LocalTorch(model="lab/generator", threads=1)
    recipe = Recipe(policy=Never(), max_answer_tokens=8)

    async with Controller(generator=backend, recipe=recipe) as controller:
        texts = [
            (await controller.solve(Problem(prompt=prompt))).raise_for_error().text
            for prompt in (ASKED.content, (ASKED,))
        ]

    assert texts[0] == texts[1]
