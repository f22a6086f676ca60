"""What answers hold beside plain text: parts, thoughts, and reasons to end of every name."""

import pytest
from support.servers import Json, Scripted, running

from collab import Controller, Recipe, Result
from collab.errors import ModelCallError
from collab.proposals import Sampling, Until
from collab.testing import FakeBackend, FakeModel
from collab.views import View, ViewOptions
from collab_backends.remote.contents import checked_end, texts_of
from collab_backends.remote.faults import AttemptFailed
from collab_backends.remote.model import RemoteModel
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never

ANSWER = " one two three four five six"


def reshaping(change: Json) -> Scripted:
    """Return a server of chat whose messages are changed: `{}` is replaced by the text."""

    def filled(value: object, text: str) -> object:
        if value == "{}":
            return text
        if isinstance(value, list):
            return [filled(one, text) for one in value]
        if isinstance(value, dict):
            return {name: filled(one, text) for name, one in value.items()}
        return value

    def reshape(part: Json) -> Json:
        choice = dict(part["choices"][0])
        for name in ("message", "delta"):
            if text := choice.get(name, {}).get("content"):
                choice[name] = filled(change, text)
        return {**part, "choices": [choice]}

    return Scripted(reshapes=reshape, top_logprobs=0)


async def solve(scripted: Scripted, tokens: int) -> Result:
    recipe = Recipe(policy=Never(), max_answer_tokens=tokens)
    async with running(scripted) as server:
        backend = server.backend(mode="chat-continue")
        async with Controller(generator=backend, recipe=recipe) as controller:
            return await controller.solve("q")


TEXT = {"type": "text", "text": "{}"}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


@pytest.mark.parametrize("tokens", [20, 64], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "change",
    [
        {"content": [TEXT]},
        {"content": [THOUGHT, TEXT]},
        {"content": "{}", "reasoning_content": "Hm."},
        {"content": "{}", "reasoning": "Hm."},
    ],
)
async def test_the_text_is_what_the_text_parts_say(change: Json, tokens: int) -> None:
    result = await solve(reshaping(change), tokens)

    assert (result.text, result.error) == (ANSWER, None)


async def test_a_part_that_is_no_text_is_never_turned_into_one() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://example.invalid"}}

    with pytest.raises(AttemptFailed, match="the answer holds no text but .*image_url"):
        texts_of([TEXT, image])
    with pytest.raises(AttemptFailed, match="the answer's text is 5"):
        texts_of(5)
    with pytest.raises(AttemptFailed, match="the answer's text is {'a': 1}"):
        texts_of({"a": 1})


def test_the_texts_of_parts_are_joined_and_thoughts_are_apart() -> None:
    parts = ["one", THOUGHT, {"text": " two"}, {"type": "output_text", "text": " three"}]

    assert texts_of(parts) == ("one two three", "Hm.")
    assert texts_of([{"type": "reasoning", "text": "So."}]) == ("", "So.")
    assert texts_of(None) == ("", "")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_a_server_that_tells_thoughts_alone_is_noticed_when_it_is_connected(
    field: str,
) -> None:
    async with running(reshaping({"content": None, field: "{}"})) as server:
        async with server.backend(mode="chat-continue").connect() as model:
            assert isinstance(model, RemoteModel)
            notes = model.observed.notes

    assert any("apart from its text (`reasoning_content`)" in note for note in notes)
    assert any("start it without a reasoning parser" in note for note in notes)


@pytest.mark.parametrize("tokens", [4, 64], ids=["whole", "streamed"])
async def test_thoughts_alone_are_never_the_end_of_a_text(tokens: int) -> None:
    view = View("mentor", "q", ViewOptions(template="raw"))
    async with running(reshaping({"content": None, "reasoning": "{}"})) as server:
        async with server.backend(mode="chat-continue").connect() as model:
            async with model.open(view, seed=0) as session:
                told = r"'m' wrote \w+ tokens and no text: .* turn thinking off"
                with pytest.raises(ModelCallError, match=told):
                    await session.generate(Until(tokens), Sampling())

    assert session.meter.completion_tokens > 0


async def test_a_mentor_that_only_thinks_fails_its_problem_and_ends_no_text() -> None:
    async with running(reshaping({"content": None, "reasoning": "{}"})) as server:
        async with Controller(
            generator=FakeBackend(model=FakeModel("a b c")),
            mentor=server.backend(mode="chat-continue"),
            recipe=Recipe(policy=Always(), verifiers=(AlwaysMentor(),)),
        ) as controller:
            result = await controller.solve("q")

    assert result.reason == "error"


async def test_tokens_without_any_text_are_not_taken_for_an_end() -> None:
    def without_text(part: Json) -> Json:
        return {**part, "choices": [{**part["choices"][0], "message": {}, "delta": {}}]}

    words = [f" w{n}" for n in range(20)]
    scripted = Scripted(writes=words, reshapes=without_text, top_logprobs=0)
    backend = {"mode": "chat-continue"}
    async with running(scripted) as server, server.backend(**backend).connect() as model:
        async with model.open(View("mentor", "q", ViewOptions(template="raw")), seed=0) as session:
            with pytest.raises(ModelCallError, match="'m' wrote 12 tokens and no text"):
                await session.generate(Until(9), Sampling())


@pytest.mark.parametrize("end", ["stop", "eos", "eos_token", "end_turn", "stop_sequence", "STOP"])
def test_known_ends_are_ends(end: str) -> None:
    assert checked_end(end) == end


@pytest.mark.parametrize(
    "full", ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens"]
)
def test_every_name_of_a_full_length_is_a_length(full: str) -> None:
    assert checked_end(full) == "length"


@pytest.mark.parametrize(
    ("end", "told", "is_retried"),
    [
        ("insufficient_system_resource", "gave up: .* 'insufficient_system_resource'", True),
        ("network_error", "gave up: .* 'network_error'", True),
        ("tool_calls", "gave up: .* 'tool_calls'", True),
        ("sensitive", "kept its answer back: 'sensitive'", False),
        ("content_filter", "kept its answer back: 'content_filter'", False),
    ],
)
def test_what_is_no_end_is_a_failed_attempt(end: str, told: str, is_retried: bool) -> None:
    with pytest.raises(AttemptFailed, match=told) as raised:
        checked_end(end)

    assert raised.value.fault.is_retried is is_retried


def ending(finish: str) -> Scripted:
    def reshape(part: Json) -> Json:
        choice = part["choices"][0]
        if choice["finish_reason"] == "stop":
            choice = {**choice, "finish_reason": finish}
        return {**part, "choices": [choice]}

    return Scripted(reshapes=reshape, top_logprobs=0)


@pytest.mark.parametrize("tokens", [20, 64], ids=["whole", "streamed"])
async def test_an_answer_that_was_given_up_is_asked_for_again_and_then_fails(tokens: int) -> None:
    result = await solve(ending("insufficient_system_resource"), tokens)

    assert result.reason == "error"
    assert [call.attempts for call in result.calls] == [3]
    with pytest.raises(ModelCallError, match="'insufficient_system_resource'; given up after 3"):
        result.raise_for_error()


@pytest.mark.parametrize("tokens", [20, 64], ids=["whole", "streamed"])
async def test_an_answer_whose_length_is_full_by_another_name_is_cut_off(tokens: int) -> None:
    result = await solve(ending("model_length"), tokens)

    assert (result.text, result.reason) == (ANSWER, "context")
