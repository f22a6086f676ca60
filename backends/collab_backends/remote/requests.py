"""The shapes of requests: where each prefix mode is asked, and how it asks for probabilities."""

from typing import Any

from collab.capabilities import PrefixMode

Json = dict[str, Any]


def is_chat(mode: PrefixMode) -> bool:
    """Whether a mode is asked by messages."""
    return mode not in ("tokens", "text")


def path_of(*, is_chat: bool) -> str:
    """Return where messages, or else texts, are completed."""
    return "/chat/completions" if is_chat else "/completions"


def logprobs_of(count: int, *, is_chat: bool) -> Json:
    """Return what asks for the `count` likeliest candidates of every token."""
    return {"logprobs": True, "top_logprobs": count} if is_chat else {"logprobs": count}
