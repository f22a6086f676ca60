"""The shapes of requests: where each prefix mode is asked, and how it asks for probabilities."""

from typing import Any

from collab.capabilities import PrefixMode

Json = dict[str, Any]

CONTINUE_LAST: Json = {"continue_final_message": True, "add_generation_prompt": False}
"""Asks a server to write on at a last message instead of opening a turn."""


def is_chat(mode: PrefixMode) -> bool:
    """Whether a mode is asked by messages."""
    return mode not in ("tokens", "text")


def path_of(*, is_chat: bool) -> str:
    """Return where messages, or else texts, are completed."""
    return "/chat/completions" if is_chat else "/completions"


def logprobs_of(count: int, *, is_chat: bool) -> Json:
    """Return what asks for the `count` likeliest candidates of every token."""
    return {"logprobs": True, "top_logprobs": count} if is_chat else {"logprobs": count}


def streaming(body: Json, *, is_lenient: bool) -> Json:
    """Return a request whose answer is streamed and says at its end what it cost.

    Where more than the protocol is taken, every part of the answer says what it cost so far, so
    that a stream which is left has counts too.
    """
    if not is_lenient:
        return {**body, "stream_options": {"include_usage": True}}
    options = {"include_usage": True, "continuous_usage_stats": True}
    return {**body, "stream_options": options, "timings_per_token": True}


def beyond_protocol(top_k: int, *, is_chat: bool) -> Json:
    """Return what only some servers know: they have defaults of their own that change texts."""
    neutral = {"top_k": top_k, "min_p": 0.0, "repeat_penalty": 1.0, "repetition_penalty": 1.0}
    if is_chat:
        return neutral
    return neutral | {"return_token_ids": True, "add_special_tokens": False}
