"""Sorting failures; reading what servers say."""

import email.utils
import time

import pytest

from collab_backends.remote.failures import fault_of_body, fault_of_status, is_about_context, quoted
from collab_backends.remote.hints import retry_after


@pytest.mark.parametrize(
    ("status", "is_retried", "is_overload", "is_outage"),
    [
        (400, False, False, False),
        (408, True, False, False),
        (429, True, True, False),
        (500, True, False, False),
        (501, False, False, False),
        (502, True, False, True),
        (503, True, True, False),
        (529, True, True, False),
    ],
)
def test_a_status_says_what_to_do(
    status: int, is_retried: bool, is_overload: bool, is_outage: bool
) -> None:
    fault = fault_of_status(status, "x", {})

    assert (fault.is_retried, fault.is_overload, fault.is_outage) == (
        is_retried,
        is_overload,
        is_outage,
    )


def test_the_server_says_when_to_come_back_in_any_form() -> None:
    in_an_hour = email.utils.formatdate(time.time() + 3600, usegmt=True)

    assert retry_after({"retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": in_an_hour}) == pytest.approx(3600, abs=5)
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 2048 tokens",
        "the request exceeds the available context size: exceed_context_size_error",
        "litellm.ContextWindowExceededError: too long",
        "context_length_exceeded",
    ],
)
def test_a_text_that_is_too_long_is_recognised(said: str) -> None:
    assert is_about_context(said)
    assert fault_of_status(400, {"error": {"message": said}}, {}).is_context


def test_an_error_inside_an_answer_keeps_its_code() -> None:
    assert fault_of_body({"error": {"message": "busy", "code": "429"}}).is_overload
    assert not fault_of_body({"error": {"message": "who are you", "code": 401}}).is_retried
    assert fault_of_body({"error": "strange"}).is_retried


def test_what_a_server_says_is_quoted_on_one_short_line() -> None:
    assert quoted({"error": {"message": "a\n  b"}}) == "a b"
    assert len(quoted("x" * 10_000)) < 4_100


def test_an_amount_that_is_spent_does_not_come_back_by_waiting() -> None:
    spent = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}

    assert not fault_of_status(429, spent, {}).is_retried
    assert fault_of_status(429, {"error": {"message": "requests per minute"}}, {}).is_retried


@pytest.mark.parametrize("scale", [1, 1000], ids=["seconds", "milliseconds"])
def test_a_limit_may_be_reset_at_a_point_in_time(scale: int) -> None:
    at = round((time.time() + 40) * scale)

    assert retry_after({"x-ratelimit-reset": str(at)}) == pytest.approx(40, abs=2)
