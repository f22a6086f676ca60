"""What calls cost of which the server did not say it, from those of which it did."""

from collections.abc import Sequence

from collab_backends.remote.paid import Paid
from collab_backends.remote.requests import Json
from collab_backends.remote.wire import Answer

SentPrompt = tuple[int, ...] | str
"""What a request asks to be continued, as ids or as one text."""

_FEWEST_TOLD = 40
_MOST_WORDS_A_TOKEN = 4
"""A server that counts fewer tokens has not read the prompt, or counts something else."""


def prompt_of(body: Json) -> SentPrompt:
    """Return the ids or the text that a request asks to be continued."""
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return tuple(prompt)
    if isinstance(prompt, str):
        return prompt
    messages = body.get("messages") or ()
    return "\n".join(str(message.get("content", "")) for message in messages)


def size_of(prompt: SentPrompt) -> int:
    """Return a prompt's ids or words."""
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


def impossible(prompt: SentPrompt, paid: Paid) -> str:
    """Return what cannot be about the tokens that a server counts for a prompt; empty if nothing.

    A prompt that the server cuts off at its start or its end shows here.
    """
    size = size_of(prompt)
    if paid.prompt is None or size < _FEWEST_TOLD or paid.prompt * _MOST_WORDS_A_TOKEN >= size:
        return ""
    unit = "words" if isinstance(prompt, str) else "tokens"
    return (
        f"{paid.prompt:,} prompt tokens for a prompt of {size:,} {unit}: the server cuts prompts "
        "off, or does not count them"
    )


_UNNOTICED = 2
"""Tokens decoded behind the last one: the one in work, and the one that cannot be delivered."""


class Estimates:
    """How many tokens a model's words have, and whether its server caches; learned from answers.

    Args:
        tokens_per_word: Until the first answer tells.
    """

    def __init__(self, tokens_per_word: float = 1.0) -> None:
        self._tokens_per_word = tokens_per_word
        self._words = 0
        self._tokens = 0
        self._has_cached = False

    def learn(self, prompt: SentPrompt, paid: Paid) -> None:
        """Take note of what a server counted for a prompt."""
        self._has_cached = self._has_cached or bool(paid.cached)
        if isinstance(prompt, str) and paid.prompt is not None:
            self._words += size_of(prompt)
            self._tokens += paid.prompt

    def prompt_tokens(self, prompt: SentPrompt) -> int:
        """Return the tokens that a prompt has, at least its words."""
        if not isinstance(prompt, str):
            return len(prompt)
        ratio = self._tokens / self._words if self._words else self._tokens_per_word
        return round(size_of(prompt) * max(ratio, 1.0))

    def cached_tokens(self, prompt: SentPrompt, before: SentPrompt) -> int:
        """Return how many tokens of a prompt are cached if `before` was asked about.

        What is not known to be cached is not taken to be.
        """
        if not self._has_cached:
            return 0
        # The last token before the first new one is always computed.
        return min(self.prompt_tokens(_shared(prompt, before)), self.prompt_tokens(prompt) - 1)


def completion_tokens(answer: Answer) -> int:
    """Return the tokens heard of an answer, and those decoded until its leaving was noticed."""
    words = len(answer.text.split()) + len(answer.reasoning.split())
    heard = len(answer.ids) or len(answer.entries) or words
    beyond = _UNNOTICED if answer.is_left else 0
    return max(heard + answer.unread, answer.paid.completion or 0) + beyond


def _shared(prompt: SentPrompt, before: SentPrompt) -> SentPrompt:
    if isinstance(prompt, str) != isinstance(before, str):
        return ""
    size = _count_shared(prompt, before)
    return prompt[:size]


def _count_shared(some: Sequence[object], others: Sequence[object]) -> int:
    pairs = zip(some, others, strict=False)
    most = min(len(some), len(others))
    return next((place for place, (one, other) in enumerate(pairs) if one != other), most)
