"""Views: a trace as one participant sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
    system: str = Field(default="", description="System message of the chat template.")
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
    prompt: str
    options: ViewOptions


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
