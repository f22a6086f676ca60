"""What a server says that an answer cost: read, checked against itself, and kept as it was said."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from collab_backends.remote.failures import quoted

_LONGEST_USAGE = 10_000
_MOST_TOKENS = 10**9
"""No answer costs more; larger numbers are mistakes."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What a server says that an answer cost; `None` for what it does not say.

    Attributes:
        prompt: Tokens of the prompt, cached ones included.
        cached: Those of them that were not computed again.
        completion: Tokens decoded, reasoning included.
        reasoning: Those of them that are no part of the text.
        contradictions: What cannot be as the server says it; the counts are mended.
        raw: The object that it said it with.
    """

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    contradictions: tuple[str, ...] = ()
    raw: Mapping[str, JsonValue] = field(default_factory=dict)


NOT_SAID = Paid()


def parse_paid(usage: object) -> Paid:
    """Return what the `usage` of an answer says.

    What is no count (negative, a fraction, `true`, a text) is left out; a part that is larger than
    its whole is cut to the whole.
    """
    if not isinstance(usage, Mapping):
        return NOT_SAID
    said = {
        "prompt": usage.get("prompt_tokens"),
        "cached": _first(
            _detail(usage, "prompt_tokens_details", "cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
        ),
        "completion": usage.get("completion_tokens"),
        "reasoning": _first(
            _detail(usage, "completion_tokens_details", "reasoning_tokens"),
            usage.get("reasoning_tokens"),
        ),
    }
    counts = {name: _count(one) for name, one in said.items()}
    counts["completion"] = _with_reasoning(counts, _count(usage.get("total_tokens")))
    odd = [
        f"{quoted(repr(one))} {name} tokens"
        for name, one in said.items()
        if one is not None and counts[name] is None
    ]
    for part, whole in (("cached", "prompt"), ("reasoning", "completion")):
        some, all_of_them = counts[part], counts[whole]
        if some is not None and all_of_them is not None and some > all_of_them:
            odd.append(f"{some} {part} of {all_of_them} {whole} tokens")
            counts[part] = all_of_them
    return Paid(**counts, contradictions=tuple(odd), raw=_as_json(usage))


def _with_reasoning(counts: Mapping[str, int | None], total: int | None) -> int | None:
    """Return the completion tokens; with the reasoning ones, where the total counts them beside."""
    prompt, completion, reasoning = (counts[name] for name in ("prompt", "completion", "reasoning"))
    if prompt is None or completion is None or not reasoning:
        return completion
    is_beside = total == prompt + completion + reasoning
    return completion + reasoning if is_beside else completion


def parse_timings(timings: Mapping[str, object]) -> Paid:
    """Return what llama.cpp's server says with each part of an answer: what it cost so far."""
    cached, fresh = _count(timings.get("cache_n")), _count(timings.get("prompt_n"))
    prompt = None if fresh is None else fresh + (cached or 0)
    return Paid(prompt, cached, _count(timings.get("predicted_n")))


def _detail(usage: Mapping[str, Any], group: str, name: str) -> object:
    details = usage.get(group)
    return details.get(name) if isinstance(details, Mapping) else None


def _first(*said: object) -> object:
    return next((one for one in said if one is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    return None


def _as_json(usage: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return an object that came as JSON, with numbers that JSON has no word for as their names."""
    plain: dict[str, JsonValue] = json.loads(json.dumps(dict(usage)), parse_constant=str)
    return plain


def kept_usage(
    raw: Mapping[str, JsonValue], scrubbed: Callable[[str], str]
) -> Mapping[str, JsonValue]:
    """Return what a server said of its usage as the ledger keeps it.

    Args:
        raw: As the server said it.
        scrubbed: Takes secrets out of a text: a server may quote the key anywhere.
    """
    told = json.dumps(raw, default=str)
    if len(told) > _LONGEST_USAGE:
        return {"left_out": f"{len(told):,} characters"}
    return {scrubbed(name): _with_texts(value, scrubbed) for name, value in raw.items()}


def _with_texts(value: JsonValue, scrubbed: Callable[[str], str]) -> JsonValue:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {scrubbed(name): _with_texts(one, scrubbed) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_texts(one, scrubbed) for one in value]
    return value
