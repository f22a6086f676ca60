"""A failed attempt as a value: what happened, what to do about it, which error it becomes."""

from dataclasses import dataclass

from collab.errors import ModelCallError


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
        is_silence: Whether nothing came for too long, so that it may only be slow.
        retry_after_s: How long the server wants to be left alone.
    """

    what: str
    is_retried: bool = False
    is_overload: bool = False
    is_outage: bool = False
    is_unreachable: bool = False
    is_context: bool = False
    is_refusal: bool = False
    is_silence: bool = False
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
