"""Admission: how many requests a pair works on at a time, and how many may wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from collab.errors import ConfigError, OverloadedError


class Admission:
    """Lets requests in, one after another where there are too many.

    Args:
        max_requests: In work at a time; `None` for any number.
        max_waiting: Waiting at a time; `None` for any number. One more is refused.
    """

    def __init__(self, max_requests: int | None, max_waiting: int | None) -> None:
        for name, bound, least in (
            ("max_requests", max_requests, 1),
            ("max_waiting", max_waiting, 0),
        ):
            if bound is not None and bound < least:
                raise ConfigError(f"{name} is {bound}; it must be at least {least}")
        self._limiter = None if max_requests is None else anyio.Semaphore(max_requests)
        self._max_requests = max_requests
        self._max_waiting = max_waiting
        self._waiting = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        Raises:
            OverloadedError: As many wait already as may.
        """
        if self._limiter is None:
            yield
            return
        await self._wait_for(self._limiter)
        try:
            yield
        finally:
            self._limiter.release()

    async def _wait_for(self, limiter: anyio.Semaphore) -> None:
        try:
            limiter.acquire_nowait()
        except anyio.WouldBlock:
            pass
        else:
            return
        if self._waiting == self._max_waiting:
            raise OverloadedError(
                f"{self._max_requests} requests are in work and {self._waiting} wait; try again "
                "later, or raise `max_requests` or `max_waiting` of the pair"
            )
        self._waiting += 1
        try:
            await limiter.acquire()
        finally:
            self._waiting -= 1
