"""What the desks of one problem share: how far they are, and whether they are still open."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import anyio.lowlevel

from collab.endings import Ending
from collab.errors import PluginCallError
from collab.limits import EndReached

P = ParamSpec("P")
T = TypeVar("T")

MOVES_PER_TOKEN = 64
"""Calls and commits that a strategy may make for each token of its longest answer, branches
included. Only one that goes in circles gets there."""


@dataclass(slots=True)
class Progress:
    """Counts what is done with one problem, and refuses it once the strategy has returned.

    Attributes:
        max_moves: Most calls and commits.
        kept: What plug-ins hand to the caller.
    """

    max_moves: int
    kept: dict[str, object] = field(default_factory=dict)
    _moves: int = 0
    _calls: int = 0
    _is_closed: bool = False

    def move(self) -> None:
        """Count a call or a commit.

        Raises:
            EndReached: There were too many; the text ends with `turns`.
            PluginCallError: The strategy has returned.
        """
        self.ensure_open()
        self._moves += 1
        if self._moves > self.max_moves:
            raise EndReached(Ending("turns"))

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Count a call as in work."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def ensure_open(self) -> None:
        """Raise `PluginCallError` if the strategy has returned."""
        if self._is_closed:
            raise PluginCallError("the desk is closed: its problem is over")

    def shut(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def close(self, plugin: str) -> None:
        """Refuse everything from now on: the strategy `plugin` has returned.

        Raises:
            PluginCallError: Calls are still in work.
        """
        self.shut()
        if self._calls:
            raise PluginCallError(
                f"{plugin} returned with {self._calls} of its calls still running; await all "
                "tasks, in a task group that is left before `run` returns"
            )


def giving_way(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return a method of a desk that lets others run before it refuses.

    Otherwise a strategy that tries again and again, whatever is raised, would keep the event loop.
    """

    @wraps(method)
    async def refusing(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (PluginCallError, EndReached):
            await anyio.lowlevel.checkpoint()
            raise

    return refusing
