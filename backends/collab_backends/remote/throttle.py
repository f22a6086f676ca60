"""How many calls one endpoint is given at a time, and whether it is called at all."""

from collections.abc import Callable
from time import monotonic

import anyio

from collab.errors import ModelCallError
from collab_backends.remote.faults import Fault

_SHRINK, _GROWTH = 0.8, 0.05
_EPISODE_S = 15.0
"""After a limit was reached, further refusals within this time belong to the same episode."""

_FAULTS_TO_OPEN = 5
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


class AdaptiveLimit:
    """Bounds the calls in flight: doubles until the server first refuses, then grows slowly.

    A refusal for overload shrinks the bound to four fifths of the calls in flight, once per episode
    of 15 seconds, and so do words that come late; a server's fault pauses growth. The idea is
    Inspect AI's. A call that hears nothing while others are served waits in the server's own
    queue: then no more are sent than it serves.

    Args:
        start: First bound.
        most: Never more than this; the connection pool is as large.
        clock: Seconds, for tests.

    Attributes:
        bound: Calls allowed at a time now.
        places: Entered by each call; waits while all are taken.
        served: Calls in flight of which some words have come.
    """

    def __init__(self, start: int, most: int, *, clock: Callable[[], float] = monotonic) -> None:
        self.bound = float(min(start, most))
        self._most = most
        self._clock = clock
        self._has_been_refused = False
        self._episode_began = -_EPISODE_S
        self._successes = 0
        self.places = anyio.CapacityLimiter(int(self.bound))
        self.served = 0

    def note_success(self) -> None:
        """Take note of a call that succeeded at once."""
        self._successes += 1
        if self._successes >= self.bound:
            self._successes = 0
            slowly = self.bound + max(self.bound * _GROWTH, 1.0)
            self._set(slowly if self._has_been_refused else self.bound * 2.0)

    def note_fault(self, fault: Fault) -> None:
        """Take note of an attempt that failed."""
        self._successes = 0
        if fault.is_silence and self.served:
            self._has_been_refused = True
            self._set(min(self.bound, float(self.served)))
        elif fault.is_silence or fault.is_overload:
            self._shrink(fault.retry_after_s or 0.0)

    def note_slow(self) -> None:
        """Take note of words that were long in coming."""
        self._successes = 0
        self._shrink(0.0)

    def _shrink(self, pause_s: float) -> None:
        self._has_been_refused = True
        now = self._clock()
        if now - self._episode_began >= max(_EPISODE_S, pause_s):
            self._episode_began = now
            in_flight = float(self.places.borrowed_tokens) or self.bound
            self._set(min(self.bound, in_flight) * _SHRINK)

    def _set(self, bound: float) -> None:
        self.bound = min(max(bound, 1.0), float(self._most))
        self.places.total_tokens = int(self.bound)


class CircuitBreaker:
    """Stops calling a server that is down: fails fast, and lets one call try now and then.

    Args:
        name: The server, for the error.
        clock: Seconds, for tests.

    Attributes:
        why: What failed the last time.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._name = name
        self._clock = clock
        self._faults = 0
        self._pause_s = _FIRST_PAUSE_S
        self._open_until: float | None = None
        self._is_trying = False
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once now."""
        if self._open_until is None:
            return False
        return self._is_trying or self._clock() < self._open_until

    async def wait(self) -> None:
        """Wait until a call may be made, perhaps as the one that tries."""
        while self.is_open:
            left_s = (self._open_until or 0.0) - self._clock()
            await anyio.sleep(min(max(left_s, _FIRST_LOOK_S), _LONGEST_LOOK_S))
        self.ensure_closed()

    def ensure_closed(self) -> None:
        """Pass, perhaps as the one that tries; or fail.

        Raises:
            ModelCallError: The server is down.
        """
        if self._open_until is None:
            return
        if self.is_open:
            raise ModelCallError(
                f"{self._name} failed {self._faults} times in a row and is left alone for now; "
                f"the last time: {self.why}"
            )
        self._is_trying = True

    def note_success(self) -> None:
        """Take note that the server answered, be it with a refusal."""
        self._faults = 0
        self._pause_s = _FIRST_PAUSE_S
        self._open_until = None
        self._is_trying = False

    def note_fault(self, fault: Fault) -> None:
        """Take note of an attempt that failed."""
        if not fault.is_outage:
            self.note_success()
            return
        self._faults += 1
        self.why = fault.what
        self._is_trying = False
        if self._faults >= _FAULTS_TO_OPEN:
            self._open_until = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def note_left(self) -> None:
        """Take note that the one that tried was cancelled: the next may try."""
        self._is_trying = False
