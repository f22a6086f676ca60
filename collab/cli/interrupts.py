"""Ending a command: the first interrupt lets it end well, the second one ends it at once.

SIGTERM counts as an interrupt. A plug-in that loops or swallows cancellation can keep the event
loop, or a model's thread, from ever ending; so the second signal is handled where it arrives.
"""

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeVar

import anyio

from collab.concurrency import unwrapped

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNALLED = 128
"""Exit codes of programs that a signal ended begin here."""

_ENDING = b"ending; interrupt again to end at once\n"
_AT_ONCE = b"interrupted again: ended at once; what was finished is on disk\n"


class Interrupted(KeyboardInterrupt):
    """A signal ended the work, which was cancelled and has cleaned up.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code_of(interruption: KeyboardInterrupt) -> int:
    """Return the exit code of an interrupted command: 130, or 143 after SIGTERM."""
    number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
    return _SIGNALLED + number


def is_of_interruption(exit_code: object) -> bool:
    """Whether a command ended by one of the signals."""
    return exit_code in {_SIGNALLED + number for number in _SIGNALS}


def run_interruptible(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` in an event loop of its own; a signal cancels it, a second ends the process.

    Signals come to the main thread alone; in another one, `work` is only run.

    Raises:
        Interrupted: A signal came before `work` was done.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return anyio.run(_watched if is_main else _unwatched, work)


def leave_at_once(exit_code: int) -> NoReturn:
    """End the process without waiting for threads that may never end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)


async def _unwatched(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


async def _watched(work: Callable[[], Awaitable[T]]) -> T:
    received: list[int] = []
    results: list[T] = []
    with unwrapped():
        async with anyio.create_task_group() as group:
            with anyio.open_signal_receiver(*_SIGNALS) as signals, _counted():

                async def watch() -> None:
                    async for number in signals:
                        received.append(number)
                        group.cancel_scope.cancel()

                group.start_soon(watch)
                results.append(await work())
                group.cancel_scope.cancel()
    if not results:
        raise Interrupted(received[0])
    return results[0]


@contextmanager
def _counted() -> Iterator[None]:
    """End the process at the second signal, whatever the event loop is doing."""
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        with suppress(OSError):
            os.write(2, _AT_ONCE if count > 1 else _ENDING)
        if count > 1:
            leave_at_once(_SIGNALLED + number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
