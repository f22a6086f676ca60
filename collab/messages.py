"""Conversations: what a problem asks, where that is more than one text."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

MessageRole = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: MessageRole = Field(description="Who says it.")
    content: str = Field(description="What is said.")


Prompt = str | tuple[Message, ...]
"""What a problem asks: a text, or a conversation.

A conversation ends with a message of the user, or with one of the assistant, which the model
continues.
"""


def text_of(prompt: Prompt) -> str:
    """Return one text of a prompt, for people and for measuring its length.

    A text, and a single message of the user, are returned as they are. Otherwise each message is
    written as `role: content`, with a blank line between messages.
    """
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return "\n\n".join(f"{one.role}: {one.content}" for one in prompt)


def canonical_text(messages: Sequence[Message]) -> str:
    """Return the JSON of messages, by which a conversation is known."""
    return json.dumps([one.model_dump() for one in messages], sort_keys=True)


def is_conversation(value: object) -> bool:
    """Whether a value is a list of messages, or is meant as one."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, Message) or _has_role(one) for one in value)
    )


def as_messages(values: Sequence[object]) -> tuple[Message, ...]:
    """Return messages from JSON objects; their keys without a value are left out.

    Raises:
        ValueError: One is no message; the error says which, and why.
    """
    return tuple(_as_message(number, one) for number, one in enumerate(values, start=1))


def _as_message(number: int, value: object) -> Message:
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        what = f"message {number} is {value!r}; expected an object with `role` and `content`"
        raise ValueError(what)  # noqa: TRY004  # of a row, like what else is wrong with it
    given = {str(key): one for key, one in value.items() if one is not None}
    role, content = given.pop("role", None), given.pop("content", None)
    if role not in get_args(MessageRole):
        expected = ", ".join(get_args(MessageRole))
        raise ValueError(f"message {number} has the role {role!r}; expected {expected}")
    if not isinstance(content, str):
        what = f"message {number} has the content {content!r}; expected a text"
        raise ValueError(what)  # noqa: TRY004  # as above
    if given:
        keys = ", ".join(map(repr, given))
        raise ValueError(f"message {number} has {keys} beside `role` and `content`")
    return Message(role=role, content=content)


def _has_role(value: object) -> bool:
    return isinstance(value, Mapping) and "role" in value
