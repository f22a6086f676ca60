"""A controller without `await`, for scripts and for notebooks, whose cells are their own tasks."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from collab.controller import Controller, Result
from collab.errors import ConfigError
from collab.messages import Prompt
from collab.problems import Problem


class BlockingController:
    """Works on problems with a controller that lives on a thread of its own.

    It can stay open over several cells of a notebook, beside whatever event loop runs there::

        solver = BlockingController(Controller(generator=..., mentor=..., recipe=...)).open()
        solver.solve("What is 8 - 2?")      # another cell
        solver.close()                      # the last one

    Args:
        controller: One that is not connected.
    """

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def open(self) -> Self:
        """Connect the models; close it when done.

        Raises:
            ConfigError: It is open, or the models cannot be connected.
        """
        if self._portal is not None:
            raise ConfigError("the controller is open already; close it first")
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self.controller))
            self._stack, self._portal = stack.pop_all(), portal
        return self

    def close(self) -> None:
        """Release the models; does nothing if it is closed."""
        self._portal = None
        self._stack.close()

    def __enter__(self) -> Self:
        """Connect the models."""
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the models."""
        self.close()

    def solve(self, problem: Problem | Prompt) -> Result:
        """Answer one problem; see `Controller.solve`."""
        return self._opened.call(self.controller.solve, problem)

    def map(
        self, problems: Iterable[Problem | Prompt], *, concurrency: int = 8
    ) -> Iterator[Result]:
        """Answer many problems, yielding each as it finishes; see `Controller.map`."""
        portal = self._opened
        working = self.controller.map(problems, concurrency=concurrency)
        with portal.wrap_async_context_manager(working) as results:
            while (result := portal.call(anext, results, None)) is not None:
                yield result

    @property
    def _opened(self) -> BlockingPortal:
        if self._portal is None:
            raise ConfigError("the controller is closed; call open(), or use it in a `with` block")
        return self._portal
