"""Asking a second time where a first answer is slow to come; whoever answers first is heard."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from collab.concurrency import unwrapped
from collab.errors import CollabError
from collab_backends.remote.requests import Json

T = TypeVar("T")

_MOST = 0.05
"""Share of calls that may be asked twice, so that a slow server is not given twice the work."""


class Hedge:
    """Decides which calls are asked twice.

    Only calls of one token without chance are: they cost little, and both answers are the same.

    Args:
        after_s: How long a first answer is waited for; `None` to ask nothing twice.

    Attributes:
        calls: Calls that could have been asked twice.
        hedged: Those that were.
    """

    def __init__(self, after_s: float | None) -> None:
        self.calls = 0
        self.hedged = 0
        self._after_s = after_s

    def delay_s(self, body: Json) -> float | None:
        """Return after how long a request may be asked a second time; `None` for never."""
        if self._after_s is None or body.get("max_tokens") != 1 or body.get("temperature") != 0.0:
            return None
        self.calls += 1
        return self._after_s

    def may_begin(self) -> bool:
        """Whether one more second request stays within the bound, and count it if it does."""
        if self.hedged + 1 > max(_MOST * self.calls, 1):
            return False
        self.hedged += 1
        return True


class Race(Generic[T]):
    """A call and, if it is slow, a second one; the loser is cancelled."""

    def __init__(self) -> None:
        self._won: list[T] = []
        self._failed: list[CollabError] = []
        self._ended = anyio.Event()

    async def run(
        self,
        first: Callable[[], Awaitable[T]],
        second: Callable[[], Awaitable[T]],
        after_s: float,
        may_begin: Callable[[], bool],
    ) -> T:
        """Return what came first.

        Raises:
            CollabError: All that were asked failed; the first one's.
        """
        with unwrapped():
            async with anyio.create_task_group() as group:
                group.start_soon(self._enter, first)
                with anyio.move_on_after(after_s):
                    await self._ended.wait()
                if not self._ended.is_set() and may_begin():
                    group.start_soon(self._enter, second)
                await self._ended.wait()
                if self._won:
                    group.cancel_scope.cancel()
        if self._won:
            return self._won[0]
        raise self._failed[0]

    async def _enter(self, call: Callable[[], Awaitable[T]]) -> None:
        try:
            self._won.append(await call())
        except CollabError as error:
            self._failed.append(error)
        self._ended.set()
