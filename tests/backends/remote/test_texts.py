"""What is sent to have a text written on, in each mode."""

import pytest
from support.models import make_tokenizer

from collab.messages import Message
from collab.proposals import Token
from collab.views import View, ViewOptions
from collab_backends.remote.texts import IdText, PlainText, cleaned
from collab_backends.tokenizing.codec import TextCodec
from collab_backends.tokenizing.live_ids import LiveIds

VIEW = View("mentor", "2 + 2?", ViewOptions(system="Be brief.", is_thinking_enabled=False))
CODEC = TextCodec(make_tokenizer(), "tiny")


def test_a_text_mode_sends_the_rendered_prompt_and_the_answer() -> None:
    text = PlainText(VIEW, "text", "<user>2 + 2?<assistant>")
    text.append("It")
    text.commit([Token(-1, " is")])

    assert text.request(" really", [Token(-1, " 4")]) == {
        "prompt": "<user>2 + 2?<assistant>It is 4 really"
    }


def test_a_chat_is_continued_by_its_last_message() -> None:
    text = PlainText(VIEW, "chat-continue")
    first = text.request()
    text.append("It is")

    assert [one["role"] for one in first["messages"]] == ["system", "user"]
    assert "continue_final_message" not in first
    assert text.request() == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "It is"},
        ],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "chat_template_kwargs": {"enable_thinking": False},
    }


TALK = View(
    "mentor",
    (
        Message(role="user", content="2 + 2?"),
        Message(role="assistant", content="4"),
        Message(role="user", content="And 3?"),
        Message(role="assistant", content="It "),
    ),
    ViewOptions(system="Be brief."),
)


def test_a_conversation_is_sent_as_its_messages_with_the_begun_answer_last() -> None:
    text = PlainText(TALK, "chat-continue")
    text.append("is")

    asked = text.request()

    assert [one["role"] for one in asked["messages"]] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    assert asked["messages"][-1]["content"] == "It is"
    assert asked["continue_final_message"]
    assert (text.begun, text.answer) == ("It ", "is")


def test_a_conversation_is_quoted_with_its_last_question() -> None:
    *before, last = PlainText(TALK, "quoted").request()["messages"]

    assert [one["role"] for one in before] == ["system", "user", "assistant"]
    assert last["role"] == "user"
    assert last["content"].startswith("And 3?")
    assert last["content"].endswith("The answer so far:\nIt ")


def test_a_begun_answer_is_part_of_a_rendered_prompt() -> None:
    text = PlainText(TALK, "text", "<user>And 3?<assistant>It ")

    assert (text.begun, text.request()) == ("", {"prompt": "<user>And 3?<assistant>It "})


def test_a_model_that_continues_nothing_is_asked_in_words() -> None:
    text = PlainText(VIEW, "quoted")
    text.append("It is")

    (system, user) = text.request()["messages"]

    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"].startswith("2 + 2?")
    assert user["content"].endswith("The answer so far:\nIt is")


def test_ids_are_kept_as_they_were_written() -> None:
    ids = CODEC.render(View("g", "So the answer is", ViewOptions(template="raw")))
    text = IdText(LiveIds(CODEC, ids))
    start = text.place
    # "th" and "e" apart, as a model may write them though the tokenizer would not.
    apart = [*CODEC.splice((), "th").added, *CODEC.splice((), "e").added]
    text.commit([Token(one, "") for one in apart])

    assert text.request()["prompt"] == [*ids, *apart]
    assert text.answer == "the"
    text.append(" other")
    text.go_back(start)
    assert text.live.ids == ids


@pytest.mark.parametrize(
    ("written", "before", "expected"),
    [
        (" so it is", "And", " so it is"),
        ("so it is", "And", " so it is"),
        ("```\nso it is\n```", "And ", "so it is"),
        ('"so it is"', "And ", "so it is"),
        ("the answer is 4 and done", "Then the answer is 4", " and done"),
        (", therefore", "And", ", therefore"),
        ("\n\nso", "And.\n\n", "so"),
    ],
)
def test_what_models_put_around_a_quoted_continuation_is_taken_off(
    written: str, before: str, expected: str
) -> None:
    assert cleaned(written, before) == expected
