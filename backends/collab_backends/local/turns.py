"""Turns: engines of one process whose passes would only fight over the interpreter's lock."""

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from types import TracebackType

from transformers import PreTrainedModel

SMALL_PARAMETERS = 8_000_000
"""Below so many parameters a pass on a CPU is spent in the interpreter, not in arithmetic. Two such
engines at once take twice the CPU time and are not done sooner."""


class Turns:
    """A lock that its waiters get in the order in which they asked."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Lock] = deque()
        self._is_taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False


_SMALL_ON_CPU = Turns()


def turns_of(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Return what to hold during each pass of `model`."""
    is_small = model.num_parameters() < SMALL_PARAMETERS
    return _SMALL_ON_CPU if is_small and model.device.type == "cpu" else nullcontext()
