"""What can go wrong with a call, sorted by what to do about it."""

import json
from collections.abc import Mapping

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from collab_backends.remote.causes import unreachable
from collab_backends.remote.faults import AttemptFailed, Fault
from collab_backends.remote.hints import retry_after

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
_SPENT_SIGNS = ("insufficient_quota", "exceeded your current quota", "insufficient balance")
_LONGEST_QUOTE = 4_000
"""Before the key is taken out; what is told is cut shorter behind that."""


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
        case APITimeoutError() if type(error.__cause__).__name__ == "ConnectTimeout":
            # Refused connections come as this too, through the client's faster transport.
            return unreachable(error)
        case APITimeoutError() | httpx2.ReadTimeout():
            return SILENT
        case APIConnectionError():
            cause = error.__cause__ or error
            return _broken(f"the connection failed: {type(cause).__name__}: {cause}")
        case httpx2.TransportError():  # while a stream is read
            return _broken(f"the connection failed: {type(error).__name__}: {error}")
        case APIError():  # an error event within a stream that began with 200
            return fault_of_body(error.body, error.message)
        case json.JSONDecodeError():
            return Fault(f"the answer is broken JSON: {error}", is_retried=True)
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
        is_retried=status in _RETRIED and not _is_spent(said + str(body)),
        is_overload=status in _OVERLOAD,
        # With 500 a server may mean this one text.
        is_outage=status in _OUTAGE,
        is_refusal=status < 500 or status in _OVERLOAD,
        retry_after_s=retry_after(headers, said),
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


def _is_spent(said: str) -> bool:
    """Whether a limit is no rate but an amount, which does not come back by waiting."""
    return any(sign in said.lower() for sign in _SPENT_SIGNS)


def is_about_context(text: str) -> bool:
    """Whether an error says that the text is too long for the model."""
    lowered = text.lower().replace(" ", "_")
    return any(sign.replace(" ", "_") in lowered for sign in _CONTEXT_SIGNS)


def quoted(body: object) -> str:
    """Return what a server said, on one line of bounded length."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, Mapping) else inner
    text = " ".join("".join(one if one.isprintable() else " " for one in str(body)).split())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]} …"


def _broken(what: str) -> Fault:
    return Fault(what, is_retried=True, is_outage=True, is_unreachable=True)


SILENT = Fault(
    "the server did not answer in time; if it is only slow, raise `patience.silence_s`",
    is_retried=True,
    is_outage=True,
    is_unreachable=True,
    is_silence=True,
)
"""What a server did that sent nothing for as long as silence is listened to."""
