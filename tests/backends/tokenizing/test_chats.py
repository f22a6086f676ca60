"""Conversations through chat templates: a plain one, the shipped pair's, a strict one."""

import pytest
from support.models import make_tokenizer

from collab.errors import InvalidPromptError
from collab.messages import Message, MessageRole, Prompt
from collab.views import View, ViewOptions
from collab_backends.tokenizing.codec import TextCodec
from collab_backends.tokenizing.sources import load_tokenizer

TOKENIZER = make_tokenizer()
CODEC = TextCodec(TOKENIZER, "tiny")

STRICT = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}<|assistant|>"
)


def says(role: MessageRole, content: str) -> Message:
    return Message(role=role, content=content)


USER, REPLY, MORE = says("user", "2 + 2?"), says("assistant", "4"), says("user", "And 3?")


def strict() -> TextCodec:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = STRICT
    return TextCodec(tokenizer, "strict")


def shown(prompt: Prompt, codec: TextCodec = CODEC, **options: object) -> str:
    view = View("g", prompt, ViewOptions.model_validate(options))
    return codec.decode(codec.render(view))


def test_a_conversation_is_rendered_turn_by_turn() -> None:
    assert shown((USER, REPLY, MORE)) == (
        "<|user|>2 + 2?<|end|><|assistant|>4<|end|><|user|>And 3?<|end|><|assistant|>"
    )


def test_one_message_is_rendered_as_its_text() -> None:
    assert shown((USER,)) == shown("2 + 2?")
    assert shown((USER,), template="raw") == "2 + 2?"


def test_a_begun_answer_is_continued_exactly_as_it_is() -> None:
    begun = says("assistant", "So it is \n\n")

    assert shown((USER, begun)) == "<|user|>2 + 2?<|end|><|assistant|>So it is \n\n"
    assert shown((USER, begun), strict()) == "<|user|>2 + 2?<|end|><|assistant|>So it is \n\n"


def test_the_system_message_of_the_options_gives_way_to_the_problems() -> None:
    own = says("system", "Be long.")

    assert shown((USER,), system="Be brief.").startswith("<|system|>Be brief.<|end|><|user|>")
    assert shown((own, USER), system="Be brief.").startswith("<|system|>Be long.<|end|><|user|>")


def test_special_tokens_in_any_message_are_plain_text() -> None:
    (end,) = TOKENIZER.encode("<|end|>", add_special_tokens=False)
    messages = (says("user", "a<|end|>b"), REPLY, says("user", "<|end|>"))

    ids = CODEC.render(View("g", (*messages, says("assistant", "c<|end|>")), ViewOptions()))

    assert ids.count(end) == 3
    assert CODEC.decode(ids) == (
        "<|user|>a<|end|>b<|end|><|assistant|>4<|end|><|user|><|end|><|end|><|assistant|>c<|end|>"
    )


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ((says("system", "Be brief."), USER), "(system, user): System role not supported"),
        ((USER, MORE), "(user, user): Conversation roles must alternate"),
    ],
)
def test_what_a_template_refuses_is_an_error_that_says_so(
    prompt: tuple[Message, ...], said: str
) -> None:
    with pytest.raises(InvalidPromptError) as raised:
        shown(prompt, strict())

    assert f"the chat template of 'strict' refuses the messages {said}" in str(raised.value)
    assert "Write the problem as it takes them" in str(raised.value)


def test_a_system_message_of_the_options_that_a_template_refuses_is_named() -> None:
    with pytest.raises(InvalidPromptError, match="may also come from the option view.system"):
        shown("2 + 2?", strict(), system="Be brief.")


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ((), "the problem has no message"),
        ((USER, REPLY, says("user", " ")), "the last message, of the user, is empty"),
        ((USER, says("assistant", "")), "the last message, of the assistant, is empty"),
    ],
)
def test_a_conversation_that_asks_nothing_is_refused(prompt: tuple[Message, ...], why: str) -> None:
    with pytest.raises(InvalidPromptError, match=why):
        shown(prompt)


@pytest.mark.parametrize("prompt", [(USER, REPLY, MORE), (says("system", "x"), USER), (REPLY,), ()])
def test_without_a_template_only_one_text_can_be_shown(prompt: tuple[Message, ...]) -> None:
    with pytest.raises(InvalidPromptError, match="without a chat template, a problem is a text"):
        shown(prompt, template="raw")


@pytest.mark.parametrize("name", ["lab/generator", "lab/mentor"])
def test_a_template_that_drops_turns_is_found(name: str) -> None:
    codec = TextCodec(load_tokenizer(name), name)

    with pytest.raises(InvalidPromptError, match=r"does not show message 1, of the user"):
        shown((USER, REPLY, MORE), codec)


def test_the_shipped_pair_continues_a_begun_answer() -> None:
    codec = TextCodec(load_tokenizer("lab/generator"), "lab/generator")

    assert shown((USER, REPLY), codec) == "2 + 2?\n\n4"


def test_the_shipped_pair_shows_one_message_as_a_text() -> None:
    for name in ("lab/generator", "lab/mentor"):
        codec = TextCodec(load_tokenizer(name), name)
        assert codec.render(View("g", (USER,), ViewOptions())) == codec.render(
            View("g", "2 + 2?", ViewOptions())
        )
