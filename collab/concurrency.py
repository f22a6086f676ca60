"""Small helpers over anyio task groups, for the core and for backends."""

import math
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeVar, cast

import anyio

T1 = TypeVar("T1")
T2 = TypeVar("T2")


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise a lone error of a task group by itself, so that it can be caught by its type.

    Put it around the group. Only the group's own wrapping is taken off, and only where there
    is one error in it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        _raise_alone(group.exceptions[0])


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a group by itself, however deep it is, and drop the others."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        _raise_alone(error)


async def concurrently(
    first: Callable[[], Awaitable[T1]], second: Callable[[], Awaitable[T2]]
) -> tuple[T1, T2]:
    """Run both at the same time, `first` beginning first.

    An error of one cancels the other; if both fail, the error of the one that failed first is
    raised.
    """
    mine, theirs = await together([first, second])
    return cast(T1, mine), cast(T2, theirs)


async def together(calls: Sequence[Callable[[], Awaitable[T1]]]) -> list[T1]:
    """Make all calls at the same time and return what they return, in their order.

    They begin in their order. An error of one cancels the others; if several fail, the error of the
    one that failed first is raised.
    """
    results: dict[int, T1] = {}

    async def run(place: int) -> None:
        results[place] = await calls[place]()

    try:
        async with anyio.create_task_group() as group:
            for place in range(1, len(calls)):
                group.start_soon(run, place)
            await run(0)
    except BaseExceptionGroup as errors:
        _raise_alone(errors.exceptions[0])
    return [results[place] for place in range(len(calls))]


def is_asked_to_stop() -> bool:
    """Whether whoever awaits this task wants it to end.

    Code of others can raise a cancellation of its own, of a task that it awaited and cancelled
    itself. Taken for ours, that would end the work without a word.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    # A native cancellation passes by anyio's scopes; only asyncio itself knows of it.
    asyncio = sys.modules.get("asyncio")
    try:
        task = asyncio.current_task() if asyncio else None
    except RuntimeError:  # another event loop's
        return True
    return task is None or task.cancelling() > 0


def _raise_alone(error: BaseException) -> NoReturn:
    """Raise an error taken out of its group as if there had been none: what it stems from stays."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
