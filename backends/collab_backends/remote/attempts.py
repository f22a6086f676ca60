"""One attempt of a call: what it sends, and what it hears."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import anyio
from openai import APIStatusError, AsyncOpenAI, AsyncStream

from collab_backends.remote.events import read_events, read_whole
from collab_backends.remote.faults import AttemptFailed, Fault
from collab_backends.remote.manners import Manners, Remedy
from collab_backends.remote.patience import Tries
from collab_backends.remote.requests import Json
from collab_backends.remote.throttle import AdaptiveLimit

T = TypeVar("T")
_STREAM = AsyncStream[object]


class Attempt:
    """Sends requests to one server, in the shape that it takes.

    Args:
        client: Sends them.
        manners: What the server is not sent; learns from refusals.
        tries: Of the call; each word that comes begins its patience again.
        limit: Counts the calls that words come for.
        on_word: Called with each part of a streamed answer.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        manners: Manners,
        tries: Tries,
        limit: AdaptiveLimit,
        on_word: Callable[[], None],
    ) -> None:
        self._client = client
        self._manners = manners
        self._tries = tries
        self._limit = limit
        self._on_word = on_word

    async def post(self, path: str, body: Json) -> object:
        """Return the whole answer to one request."""
        most_s = self._tries.attempt_s

        async def send(fitted: Json) -> object:
            return await self._client.post(path, cast_to=object, body=fitted)

        with anyio.move_on_after(most_s):
            return await self._fitting(body, send)
        raise AttemptFailed(_silent(f"no answer came within {most_s:.3g} s", "attempt_s"))

    @asynccontextmanager
    async def stream(self, path: str, body: Json) -> AsyncIterator[AsyncIterator[object]]:
        """Send one request and yield the events of its answer; leaving early ends it."""

        async def send(fitted: Json) -> AsyncStream[object]:
            return await self._client.post(
                path, cast_to=object, body=fitted, stream=True, stream_cls=_STREAM
            )

        most_s = self._tries.attempt_s
        stream: AsyncStream[object] | None = None
        with anyio.move_on_after(most_s):
            stream = await self._fitting({**body, "stream": True}, send)
        if stream is None:
            raise AttemptFailed(_silent(f"no answer began within {most_s:.3g} s", "attempt_s"))
        # Not read through the client's own stream: it leaves generators behind that are closed
        # whenever they are collected, in whatever thread.
        async with (
            aclosing(stream.response.aiter_raw()) as chunks,
            aclosing(_told_events(stream, chunks)) as events,
            aclosing(self._heard(events)) as heard,
        ):
            try:
                yield heard
            finally:
                with anyio.CancelScope(shield=True):
                    await stream.close()

    async def _heard(self, events: AsyncGenerator[object, None]) -> AsyncGenerator[object, None]:
        """Yield events as they come; they may take as long as each comes in time."""
        is_served = False
        try:
            while True:
                event, most_s = _NOTHING, self._tries.attempt_s
                with anyio.move_on_after(most_s):
                    event = await anext(events, _END)
                if event is _NOTHING:
                    raise AttemptFailed(_silent(f"no word came for {most_s:.3g} s", "attempt_s"))
                if event is _END:
                    return
                if not is_served:
                    is_served = True
                    self._limit.served += 1
                if self._tries.note_word():
                    self._limit.note_slow()
                self._on_word()
                yield event
        finally:
            self._limit.served -= is_served

    async def _fitting(self, body: Json, send: Callable[[Json], Awaitable[T]]) -> T:
        """Send a body, without what the server refuses by name.

        What helped is remembered. If nothing does, the first refusal is what is told.
        """
        tried: list[Remedy] = []
        first: APIStatusError | None = None
        while True:
            fitted = self._manners.fitted(body, tried)
            try:
                answer = await send(fitted)
            except APIStatusError as error:
                first = first or error
                said = error.body or error.message
                remedy = self._manners.next_remedy(error.status_code, said, fitted, tried)
                if remedy is None:
                    raise first from None
                tried.append(remedy)
            else:
                self._manners.learn(tried)
                return answer


_NOTHING, _END = object(), object()


def _silent(what: str, bound: str) -> Fault:
    return Fault(
        f"{what} (`patience.{bound}`)",
        is_retried=True,
        is_outage=True,
        is_unreachable=True,
        is_silence=True,
    )


def _told_events(
    stream: AsyncStream[object], chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[object, None]:
    """Return the events of a stream; a server that does not stream tells its answer as one."""
    kind = stream.response.headers.get("content-type", "")
    is_whole = kind.startswith(("application/json", "text/html"))
    return read_whole(chunks) if is_whole else read_events(chunks)
