"""How long a server wants to be left alone, in any of the ways in which servers say it."""

import email.utils
import math
import re
import time
from collections.abc import Mapping

_LIMITS = ("requests", "tokens")
_RESETS = ("x-ratelimit-reset", "ratelimit-reset")
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SAID = re.compile(
    r"(?:try again|retry|wait)\D{0,30}?\b(\d[\d.hms]*[hms]|\d+(?:\.\d+)?) ?(ms|mill|s|m|h)?",
    re.IGNORECASE,
)
_A_DATE_S = 10**9
"""Larger numbers are points in time, in seconds; still larger ones in milliseconds."""


def retry_after(headers: Mapping[str, str], said: str = "") -> float | None:
    """Return the seconds after which a server may be asked again; `None` if it does not say.

    Args:
        headers: Of its refusal.
        said: What stands in it, for people.
    """
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        return _number(milliseconds, 1e-3)
    if (value := headers.get("retry-after")) is not None:
        return _after(value)
    return _after_reset(headers) or _after_words(said)


def _after(value: str) -> float | None:
    if (seconds := _number(value, 1.0)) is not None:
        return seconds
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _after_reset(headers: Mapping[str, str]) -> float | None:
    """Return when the limit that was reached is reset; the latest of all if that is not clear."""
    names = [f"x-ratelimit-reset-{limit}" for limit in _LIMITS]
    reached = [
        name
        for name, limit in zip(names, _LIMITS, strict=True)
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
    ]
    told = [_until(headers[name]) for name in (*(reached or names), *_RESETS) if name in headers]
    return max((seconds for seconds in told if seconds is not None), default=None)


def _until(value: str) -> float | None:
    """Return the seconds that a duration or a point in time means."""
    if _DURATION.fullmatch(value):
        return _duration(value)
    seconds = _number(value, 1.0)
    if seconds is None or seconds < _A_DATE_S:
        return seconds
    at_s = seconds if seconds < 100 * _A_DATE_S else seconds / 1e3
    return max(at_s - time.time(), 0.0)


def _after_words(said: str) -> float | None:
    found = _SAID.search(said)
    if found is None:
        return None
    value, unit = found.groups()
    if _DURATION.fullmatch(value):
        return _duration(value)
    unit = (unit or "s").lower()
    return _number(value, _UNITS["ms" if unit == "mill" else unit])


def _duration(value: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))


def _number(text: str, factor: float) -> float | None:
    try:
        value = float(text) * factor
        return max(value, 0.0) if math.isfinite(value) else None
    except ValueError:
        return None
