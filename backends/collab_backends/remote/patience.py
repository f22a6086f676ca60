"""Patience: how long and how often one call is tried, and how long it waits in between."""

import random
from collections.abc import Callable
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field

from collab_backends.remote.faults import Fault

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_LONGEST_BUSY_WAIT_S = 30.0
_SERVER_LEFT_ALONE_JITTER_S = 0.25
_LATE = 0.5
"""Words that come after this share of the silence that is allowed are late."""

_LATELY_S = 90.0
"""A server that answered someone within this time is busy, not closed: limits are per minute."""


class Patience(BaseModel):
    """How long and how often a server is tried, and how much of an answer is listened to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(
        default=5,
        ge=1,
        description="Tries of one call, the first included. A busy server that answers others is "
        "asked more often.",
    )
    connect_s: float = Field(default=5.0, gt=0, description="For a connection.")
    attempt_s: float = Field(
        default=120.0,
        gt=0,
        description="For one try whose answer comes whole. Longer answers are streamed, and each "
        "next word may take as long.",
    )
    call_s: float = Field(
        default=300.0,
        gt=0,
        description="For all tries and waits of a call, since its last word arrived.",
    )
    hedge_after_s: float | None = Field(
        default=None,
        gt=0,
        description="Ask calls of one token (judging) a second time if they take longer: at the "
        "next URL, if there is one. At most 5 % of them; the loser is cancelled and counted.",
    )
    silence_s: float = Field(default=120.0, gt=0, description="Between two bytes of an answer.")
    max_response_mib: float = Field(
        default=64.0, gt=0, description="Largest answer, unpacked; a larger one is left."
    )


class Tries:
    """The tries of one call: whether there is another one, and when.

    Args:
        patience: How long and how often.
        attempts: Fewer attempts than the patience has.
        is_first_round: Whether other servers are asked next, so that none is waited for.
        clock: Seconds, for tests.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        attempts: int | None = None,
        is_first_round: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.is_first_round = is_first_round
        self._patience = patience
        self._attempts = attempts or patience.attempts
        self._clock = clock
        self._failed = 0
        self._quiet_since = clock()
        self._jitter = random.Random()

    @property
    def left_s(self) -> float:
        """Seconds until the call is given up, unless a word comes before."""
        return self._patience.call_s - (self._clock() - self._quiet_since)

    @property
    def attempt_s(self) -> float:
        """Seconds that the next answer, or the next word of a streamed one, may take."""
        return max(min(self._patience.attempt_s, self.left_s), 0.0)

    def note_word(self) -> bool:
        """Take note that a part of an answer has come; return whether it was long in coming."""
        now = self._clock()
        is_late = now - self._quiet_since > _LATE * self._patience.silence_s
        self._quiet_since = now
        return is_late

    def note_queued(self, seconds: float) -> None:
        """Take note of time spent waiting for other calls from here, which does not count."""
        self._quiet_since += seconds

    def is_over(self, fault: Fault, answered_at: float) -> bool:
        """Take note of a failed try; return whether it was the last one.

        Args:
            fault: Why it failed.
            answered_at: When the server last answered any call.
        """
        self._failed += 1
        if self.is_first_round or not fault.is_retried:
            return True
        if not fault.is_overload:
            return self._failed >= self._attempts
        # Others get through, so this one will.
        is_lately = self._clock() - answered_at < _LATELY_S
        return not is_lately and self._failed >= self._patience.attempts

    def wait_s(self, fault: Fault) -> float:
        """Return how long to wait: as the server asks, never less; else longer every time."""
        if fault.retry_after_s is not None:
            return fault.retry_after_s + self._jitter.uniform(0.0, _SERVER_LEFT_ALONE_JITTER_S)
        most = _LONGEST_BUSY_WAIT_S if fault.is_overload else _LONGEST_WAIT_S
        longest = min(_FIRST_WAIT_S * 2.0 ** min(self._failed, 30), most)
        return self._jitter.uniform(0.0, longest)

    def told(self, fault: Fault) -> str:
        """Return what failed, and which bound of patience was reached."""
        if not fault.is_retried or self.is_first_round:
            return fault.what
        asked = fault.retry_after_s
        if asked is not None and asked > self.left_s:
            bound = f"it asks to be left alone for {asked:,.0f} s, longer than `patience.call_s`"
        elif self.left_s <= 0:
            bound = f"given up after {self._patience.call_s:g} s (`patience.call_s`)"
        else:
            bound = f"given up after {self._failed} tries (`patience.attempts`)"
        return f"{fault.what}; {bound}"
