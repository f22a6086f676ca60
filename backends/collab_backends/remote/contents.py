"""What answers hold in many shapes: a text in parts, and the reason why it ended."""

from collections.abc import Mapping

from collab_backends.remote.failures import quoted
from collab_backends.remote.faults import AttemptFailed, Fault

_ENDS = frozenset(
    {"stop", "stop_sequence", "stop_str", "eos", "eos_token", "end", "end_turn", "complete"}
)
_FULL = frozenset(
    {
        "length",
        "max_length",
        "max_tokens",
        "max_new_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "model_length",
        "token_limit",
        "context_length",
        "model_context_window_exceeded",
    }
)
_KEPT_BACK = frozenset(
    {"content_filter", "safety", "recitation", "sensitive", "refusal", "prohibited_content"}
)

THINKS_APART = (
    "the server tells what the model thinks apart from its text (`reasoning_content`), which is "
    "lost to whoever continues the text: start it without a reasoning parser (llama-server: "
    "--reasoning-format none), or turn thinking off with `view: {is_thinking_enabled: false}`"
)
"""What to do where answers have no text."""


def checked_end(finish: str) -> str:
    """Return why an answer ended, with `length` for every name of a full length.

    Raises:
        AttemptFailed: The server gave up, kept back what was written, or says what is unknown.
    """
    name = finish.lower()
    if name in _FULL:
        return "length"
    if name in _KEPT_BACK:
        raise AttemptFailed(Fault(f"the server kept its answer back: {finish!r}"))
    if name not in _ENDS:
        what = f"the server gave up: it ended its answer for the reason {quoted(repr(finish))}"
        raise AttemptFailed(Fault(what, is_retried=True))
    return finish


def texts_of(content: object) -> tuple[str, str]:
    """Return what a content says and what is thought in it; either may be in parts.

    Raises:
        AttemptFailed: It holds something else than text.
    """
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise AttemptFailed(Fault(f"the answer's text is {quoted(repr(content))}"))
    said, thought = "", ""
    for part in content:
        if isinstance(part, str):
            said += part
        elif isinstance(part, Mapping) and part.get("type", "text") in ("text", "output_text"):
            said += str(part.get("text") or "")
        elif isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning"):
            inner = part.get("thinking") or part.get("reasoning") or part.get("text")
            thought += "".join(texts_of(inner))
        else:
            raise AttemptFailed(Fault(f"the answer holds no text but {quoted(repr(part))}"))
    return said, thought
