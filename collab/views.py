"""Views: a trace as one participant sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from collab.errors import InvalidPromptError
from collab.messages import Message, Prompt


class ThinkingTags(BaseModel):
    """The texts between which one model thinks aloud."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    opening: str = Field(
        default="<think>", min_length=1, description="The tag that starts thinking."
    )
    closing: str = Field(
        default="</think>", min_length=1, description="The tag that ends thinking."
    )


class ViewOptions(BaseModel):
    """How one participant is shown a problem and what was written so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Literal["auto", "chat", "raw"] = Field(
        default="auto",
        description="`chat` renders the tokenizer's chat template, `raw` shows the prompt as "
        "it is, `auto` is chat where the tokenizer has a template.",
    )
    system: str = Field(
        default="",
        description="System message of the chat template; a problem's own takes its place.",
    )
    thinking: ThinkingTags | None = Field(
        default=None, description="This model's thinking tags; translated for other models."
    )
    is_thinking_enabled: bool | None = Field(
        default=None, description="Passed to the template as `enable_thinking` unless null."
    )


@dataclass(frozen=True, slots=True)
class View:
    """What a participant's live text starts from.

    Attributes:
        participant: Whose view it is.
        prompt: The problem as it was asked.
        options: How it is shown.
    """

    participant: str
    prompt: Prompt
    options: ViewOptions

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as it is shown, with a system message, without a begun answer.

        Raises:
            InvalidPromptError: It has no message, or its last one is empty.
        """
        given = self._given
        if not given:
            raise InvalidPromptError("the problem has no message; give it one of the user")
        if not given[-1].content.strip():
            raise InvalidPromptError(
                f"the last message, of the {given[-1].role}, is empty; write one or leave it out"
            )
        shown = given[:-1] if given[-1].role == "assistant" else given
        if self.options.system and all(one.role != "system" for one in shown):
            return (Message(role="system", content=self.options.system), *shown)
        return shown

    @property
    def begun(self) -> str:
        """The beginning of the answer: the last message, if it is the assistant's, or nothing."""
        given = self._given
        return given[-1].content if given and given[-1].role == "assistant" else ""

    @property
    def raw_text(self) -> str:
        """The prompt as it is shown without a chat template.

        Raises:
            InvalidPromptError: It is a conversation of more than one message of the user.
        """
        given = self._given
        if len(given) != 1 or given[0].role != "user":
            roles = ", ".join(one.role for one in given) or "no message"
            raise InvalidPromptError(
                "without a chat template, a problem is a text or one message of the user; this one "
                f"has: {roles}. Use a model with a chat template, or write the problem as a text"
            )
        return given[0].content

    @property
    def _given(self) -> tuple[Message, ...]:
        if isinstance(self.prompt, str):
            return (Message(role="user", content=self.prompt),)
        return self.prompt


def translate_pieces(
    pieces: Sequence[str], source: ThinkingTags | None, target: ThinkingTags | None
) -> list[str]:
    """Return a text in pieces with its thinking tags replaced, also those that span pieces.

    The replacement stands in the piece where the tag began; a tag of which only a part is
    there stays as it is.
    """
    if source is None or target is None or source == target:
        return list(pieces)
    for old, new in ((source.opening, target.opening), (source.closing, target.closing)):
        pieces = _replaced(pieces, old, new)
    return list(pieces)


def _replaced(pieces: Sequence[str], old: str, new: str) -> list[str]:
    text = "".join(pieces)
    owners = [number for number, piece in enumerate(pieces) for _ in piece]
    replaced = [""] * len(pieces)
    place = 0
    while place < len(text):
        if text.startswith(old, place):
            replaced[owners[place]] += new
            place += len(old)
        else:
            replaced[owners[place]] += text[place]
            place += 1
    return replaced


def translate_tags(text: str, source: ThinkingTags | None, target: ThinkingTags | None) -> str:
    """Return `text` with one participant's thinking tags replaced by another's."""
    if source is None or target is None or source == target:
        return text
    return text.replace(source.opening, target.opening).replace(source.closing, target.closing)
