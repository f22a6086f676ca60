from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from collab import Budget, Controller, Recipe
from collab.capabilities import Capabilities
from collab.errors import ContextOverflowError, InvalidPromptError, ModelCallError
from collab.messages import Message
from collab.proposals import Sampling, Until
from collab.seam import Backend, Model
from collab.seam.stateless import TextModel
from collab.testing import check_backend
from collab.views import View, ViewOptions
from collab_policies.always import Always
from collab_policies.never import Never

GREEDY = Sampling()


class Counting(TextModel):
    """Counts on from the number of words, and notes when it is stopped."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0

    async def write(self, text: str, max_tokens: int, sampling: Sampling) -> AsyncIterator[str]:
        self.asked.append(text)
        try:
            for number in range(len(text.split()), 20):
                yield f" {number}"
        finally:
            self.closed += 1


class CountingBackend(Backend):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        yield Counting()


async def test_it_keeps_to_the_contract() -> None:
    await check_backend(CountingBackend())


async def test_writing_is_stopped_as_soon_as_no_more_is_wanted() -> None:
    model = Counting()

    async with model.open(View("g", "a b", ViewOptions()), seed=0) as live:
        proposal = await live.generate(Until(3), GREEDY)

        assert (proposal.text, proposal.stop) == (" 2 3 4", "length")
        assert (model.closed, live.meter.completion_tokens, live.meter.prompt_tokens) == (1, 3, 2)
        assert live.meter.is_estimated


async def test_the_whole_text_is_shown_at_every_call() -> None:
    model = Counting()

    async with model.open(View("g", "a b", ViewOptions()), seed=0) as live:
        await live.generate(Until(2), GREEDY)
        live.commit(1)
        live.append(" x")
        await live.generate(Until(1), GREEDY)

    assert model.asked == ["a b", "a b 2 x"]


async def test_the_end_of_the_text_is_not_asked_for_again() -> None:
    model = Counting()
    prompt = " ".join("x" * 18)

    async with model.open(View("g", prompt, ViewOptions()), seed=0) as live:
        first = await live.generate(Until(9), GREEDY)
        live.commit(2)
        second = await live.generate(Until(9), GREEDY)

    assert (first.text, first.stop, second.text, second.stop) == (" 18 19", "eos", "", "eos")
    assert len(model.asked) == 1


async def test_it_works_in_both_seats() -> None:
    backend = CountingBackend()

    async with Controller(
        generator=backend, mentor=backend, recipe=Recipe(policy=Always()), budget=Budget()
    ) as controller:
        result = (await controller.solve("zero one")).raise_for_error()

    assert result.text.split()[:3] == ["2", "3", "4"]
    assert result.mentor_share == 1.0
    assert all(call.is_estimated for call in result.calls)


async def test_what_it_cannot_do_is_refused_by_name() -> None:
    async with Counting().open(View("g", "a", ViewOptions()), seed=0) as live:
        with pytest.raises(ModelCallError, match="'counting' cannot judge"):
            await live.judge("?", ("A", "B"))
        with pytest.raises(ModelCallError, match="'counting' cannot score"):
            await live.score("x")
        with pytest.raises(ValueError, match="3 tokens to commit, 0 were decoded"):
            live.commit(3)
        with pytest.raises(ValueError, match="is no mark of this session"):
            live.rollback(object())


async def test_a_prompt_beyond_its_context_fails_its_problem() -> None:
    class Narrow(Counting):
        capabilities = Capabilities(prefix_mode="text", context_tokens=2)

    class NarrowBackend(Backend):
        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Model]:
            yield Narrow()

    async with Controller(generator=NarrowBackend(), recipe=Recipe(policy=Never())) as controller:
        result = await controller.solve("one two three")

    with pytest.raises(ContextOverflowError, match="prompt of 3 tokens exceeds the 2"):
        result.raise_for_error()


async def test_a_conversation_is_refused_where_there_is_no_template() -> None:
    talk = (Message(role="system", content="Count."), Message(role="user", content="a b"))

    async with Counting().open(View("g", talk[1:], ViewOptions()), seed=0) as live:
        assert (await live.generate(Until(1), GREEDY)).text == " 2"
    with pytest.raises(InvalidPromptError, match="this one has: system, user. Use a model with"):
        async with Counting().open(View("g", talk, ViewOptions()), seed=0):
            pass
