"""Small helpers over anyio task groups."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

T1 = TypeVar("T1")
T2 = TypeVar("T2")


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the first error of an exception group by itself.

    Every task group of this package ends at its first error, so the others in a group are its
    consequences; callers want to catch the error by its type.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


async def concurrently(
    first: Callable[[], Awaitable[T1]], second: Callable[[], Awaitable[T2]]
) -> tuple[T1, T2]:
    """Run both at the same time, `first` beginning first; an error of one cancels the other."""
    results: list[T2] = []

    async def run_second() -> None:
        results.append(await second())

    with unwrapped():
        async with anyio.create_task_group() as group:
            group.start_soon(run_second)
            mine = await first()
    return mine, results[0]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
