"""Conversations through a tokenizer's own chat template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from collab.errors import InvalidPromptError
from collab.messages import Message
from collab.views import View, ViewOptions


@dataclass(frozen=True, slots=True)
class HiddenTexts:
    """Messages in which some texts are hidden from the template.

    Attributes:
        messages: The messages, with placeholders for the hidden texts.
        texts: The hidden texts; number n stands at `placeholder(n)`.
    """

    messages: tuple[Message, ...]
    texts: tuple[str, ...]


def placeholder(number: int) -> str:
    """Return what stands for a hidden text: private characters, so that no one else writes it."""
    return f"\ue000prompt{number}\ue001"


def hide_specials(view: View, specials: Sequence[str]) -> HiddenTexts:
    """Hide the messages of the problem that contain special tokens, which are plain text there.

    The system message of the options is not the problem's: its special tokens are meant.

    Raises:
        InvalidPromptError: It has no message, or its last one is empty.
    """
    messages: list[Message] = []
    texts: list[str] = []
    for one in view.messages:
        is_from_options = one.role == "system" and one.content == view.options.system
        if not is_from_options and any(special in one.content for special in specials):
            texts.append(one.content)
            one = Message(role=one.role, content=placeholder(len(texts) - 1))
        messages.append(one)
    return HiddenTexts(tuple(messages), tuple(texts))


def ensure_shown(frame: str, messages: Sequence[Message], view: View, name: str) -> None:
    """Check that a rendered conversation shows what is asked in it; some templates drop turns.

    Messages of the assistant are not looked for: templates may leave out what it thought. The
    system message of the options is not either.

    Args:
        frame: What the template rendered.
        messages: What it was given.
        view: The conversation as it was asked.
        name: The tokenizer's name.

    Raises:
        InvalidPromptError: A message of the user or the problem's system message is not in it.
    """
    if isinstance(view.prompt, str) or len(view.prompt) == 1:
        return
    for number, one in enumerate(messages, start=1):
        is_from_options = one.role == "system" and one.content == view.options.system
        if one.role == "assistant" or is_from_options or one.content.strip() in frame:
            continue
        raise InvalidPromptError(
            f"the chat template of {name!r} does not show message {number}, of the {one.role}; "
            "write the problem as one text, or take a model whose template takes conversations"
        )


def apply_template(
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    messages: Sequence[Message],
    options: ViewOptions,
) -> str:
    """Return messages as the tokenizer's chat template renders them, up to the answer's beginning.

    Args:
        tokenizer: Has a chat template.
        name: Its name, for errors.
        messages: What is rendered.
        options: What else is passed to the template.

    Raises:
        InvalidPromptError: The template refuses them.
    """
    extra: dict[str, Any] = {}
    if options.is_thinking_enabled is not None:
        extra["enable_thinking"] = options.is_thinking_enabled
    try:
        return str(
            tokenizer.apply_chat_template(
                [one.model_dump() for one in messages],
                add_generation_prompt=True,
                tokenize=False,
                **extra,
            )
        )
    except Exception as error:  # a template is a model's own code
        roles = ", ".join(one.role for one in messages) or "none before the begun answer"
        raise InvalidPromptError(
            f"the chat template of {name!r} refuses the messages ({roles}): {error}. Write the "
            "problem as it takes them; a system message may also come from the option view.system"
        ) from error
