"""Delivery: a problem's events to a reader, and what becomes of results that no one receives."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream

from collab.concurrency import unwrapped
from collab.controller.answering import Answering
from collab.controller.bounds import Bounds
from collab.controller.result import Finished, Result
from collab.controller.settling import Settled, Settling
from collab.recipes import Recipe
from collab.trace import Ended, TraceEvent

StreamEvent = TraceEvent | Settled | Finished
"""What `Pair.stream` and `Controller.stream` deliver."""

_STREAM_BUFFER = 16


@asynccontextmanager
async def streamed(
    answering: Answering, recipe: Recipe, abandon: Callable[[Result], None]
) -> AsyncIterator[ObjectReceiveStream[StreamEvent]]:
    """Work in the background; yield the events, of which the last is `Finished`."""
    sender, receiver = anyio.create_memory_object_stream[StreamEvent](_STREAM_BUFFER)
    sent: list[Result] = []
    trace = answering.trace
    settling = Settling(trace, Bounds(recipe, trace).stops, takes_back=recipe.takes_back)

    async def work() -> None:
        with anyio.CancelScope() as scope:

            async def send(event: StreamEvent) -> None:
                try:
                    await sender.send(event)
                except anyio.BrokenResourceError:  # the reader closed its end
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()

            async def emit(event: TraceEvent) -> None:
                is_over = isinstance(event, Ended)
                # The reader sees all text before the event that ends it.
                events = [*settling.advance(is_over=is_over)]
                for one in [*events, event] if is_over else [event, *events]:
                    await send(one)

            async with sender:
                result = await answering.result(emit)
                with abandoning(result, abandon):
                    await send(Finished(result))
                sent.append(result)

    try:
        with unwrapped():
            async with receiver, anyio.create_task_group() as group:
                group.start_soon(work)
                yield receiver
                group.cancel_scope.cancel()
    finally:
        # The last event is the result: if any is left, no one has received it.
        if sent and receiver.statistics().current_buffer_used:
            abandon(sent[0])


@contextmanager
def abandoning(result: Result, abandon: Callable[[Result], None]) -> Iterator[None]:
    """Hand a result over to `abandon` if its delivery is cancelled."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        abandon(result)
        raise
