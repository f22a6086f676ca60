"""What can go wrong with a call, sorted by what to do about it."""

import email.utils
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from collab.errors import ModelCallError

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OUTAGE = frozenset({502, 504, 520, 521, 522, 523, 524})
_OVERLOAD = frozenset({429, 503, 529})
_KEY_REFUSED = frozenset({401, 403})
KEY_REFUSED = "refused the key"
"""What a fault says when the key is missing or wrong."""
NOT_FOUND = "does not know the path or the model"
"""What a fault says about status 404."""

_CONTEXT_SIGNS = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "contextwindowexceeded",
    "longer than the maximum model length",
)
_LONGEST_QUOTE = 4_000
"""Before the key is taken out; what is told is cut shorter behind that."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed attempt.

    Attributes:
        what: What happened, for people.
        is_retried: Whether another attempt may succeed.
        is_overload: Whether the server has too much to do.
        is_outage: Whether the server itself seems to be down.
        is_unreachable: Whether it did not answer at all.
        is_context: Whether the text is too long for the model.
        is_refusal: Whether the server did no work for it: it said so at once, or was not reached.
        retry_after_s: How long the server wants to be left alone.
    """

    what: str
    is_retried: bool = False
    is_overload: bool = False
    is_outage: bool = False
    is_unreachable: bool = False
    is_context: bool = False
    is_refusal: bool = False
    retry_after_s: float | None = None


class ServerUnreachableError(ModelCallError):
    """A server did not answer at all."""


class ServerBusyError(ModelCallError):
    """A server has too much to do, or is still loading."""


class AttemptFailed(Exception):  # noqa: N818  # it is one of several, no error yet
    """Raised by one attempt; never leaves this package."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


def fault_of(error: Exception) -> Fault:
    """Return what to do about an error of the client.

    A clean end of a stream and a 200 with an error in it are no errors to the client; see
    `collab_backends.remote.wire` for these.
    """
    match error:
        case AttemptFailed():
            return error.fault
        case APIStatusError():
            headers = error.response.headers
            return fault_of_status(error.status_code, error.body or error.message, headers)
        case APITimeoutError():
            # Refused connections come as this too, through the client's faster transport.
            is_there = type(error.__cause__).__name__ != "ConnectTimeout"
            what = (
                "did not answer in time" if is_there else "cannot be connected to; is it running?"
            )
            return _unreachable(f"the server {what}", is_refusal=not is_there)
        case APIConnectionError():
            cause = error.__cause__ or error
            return _unreachable(f"the connection failed: {type(cause).__name__}: {cause}")
        case httpx2.TransportError():  # while a stream is read
            return _unreachable(f"the connection failed: {type(error).__name__}: {error}")
        case APIError():  # an error event within a stream that began with 200
            return fault_of_body(error.body, error.message)
        case json.JSONDecodeError():
            return Fault(f"the answer is broken JSON: {error}", is_retried=True)
        case TimeoutError():
            return _unreachable("the attempt took too long")
    return Fault(f"{type(error).__name__}: {error}")


def fault_of_status(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """Return what to do about an HTTP status that is no success."""
    said = quoted(body)
    if 300 <= status < 400:
        what = f"the server redirects elsewhere (status {status}), which is not followed"
        return Fault(what, is_refusal=True)
    if status in _KEY_REFUSED:
        return Fault(f"the server {KEY_REFUSED} (status {status}): {said}", is_refusal=True)
    if status == 404:
        return Fault(f"the server {NOT_FOUND} (status 404): {said}", is_refusal=True)
    if is_about_context(f"{said} {body}"):
        return Fault(f"the text is too long: {said}", is_context=True, is_refusal=True)
    return Fault(
        f"the server answered with status {status}: {said}",
        is_retried=status in _RETRIED,
        is_overload=status in _OVERLOAD,
        # With 500 a server may mean this one text.
        is_outage=status in _OUTAGE,
        is_refusal=status < 500 or status in _OVERLOAD,
        retry_after_s=retry_after(headers),
    )


def fault_of_body(body: object, said: str = "") -> Fault:
    """Return what to do about an error that came with status 200."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    code = error.get("code") if isinstance(error, Mapping) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 0
    if status:
        return fault_of_status(status, error or said, {})
    text = quoted(error or said)
    if is_about_context(text):
        return Fault(f"the text is too long: {text}", is_context=True, is_refusal=True)
    return Fault(f"the server answered with an error: {text}", is_retried=True)


def is_about_context(text: str) -> bool:
    """Whether an error says that the text is too long for the model."""
    lowered = text.lower().replace(" ", "_")
    return any(sign.replace(" ", "_") in lowered for sign in _CONTEXT_SIGNS)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, in any of its forms."""
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        return _number(milliseconds, 1e-3)
    if (value := headers.get("retry-after")) is None:
        return None
    if (seconds := _number(value, 1.0)) is not None:
        return seconds
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def quoted(body: object) -> str:
    """Return what a server said, on one line of bounded length."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, Mapping) else inner
    text = " ".join("".join(one if one.isprintable() else " " for one in str(body)).split())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]} …"


def _unreachable(what: str, *, is_refusal: bool = False) -> Fault:
    return Fault(what, is_retried=True, is_outage=True, is_unreachable=True, is_refusal=is_refusal)


def _number(text: str, factor: float) -> float | None:
    try:
        value = float(text) * factor
        return max(value, 0.0) if math.isfinite(value) else None
    except ValueError:
        return None
