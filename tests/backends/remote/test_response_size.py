"""Answers that are too large are left, whole ones and streams, packed or not."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from starlette.responses import Response, StreamingResponse
from support.servers import IMPATIENT, Json, Scripted, running, sse

from collab import Controller, Recipe, Result
from collab.errors import ModelCallError
from collab_policies.never import Never

SMALL = IMPATIENT.model_copy(update={"max_response_mib": 0.5})
TOLD = r"the answer is larger than 0\.5 MiB and was left; .* raise `patience\.max_response_mib`"
BLANKS = b" " * 2**16


class Pouring:
    """Sends chunks for ever, and knows whether it was left."""

    def __init__(self, chunks: Callable[[], AsyncIterator[bytes]], **headers: str) -> None:
        self.left = anyio.Event()
        self._chunks = chunks
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def __call__(self, server: Scripted, asked: Json) -> Response:
        async def pour() -> AsyncIterator[bytes]:
            try:
                async for chunk in self._chunks():
                    yield chunk
                    await anyio.lowlevel.checkpoint()
            finally:
                self.left.set()

        return StreamingResponse(pour(), headers=self._headers, media_type="application/json")


async def blanks() -> AsyncIterator[bytes]:
    while True:
        yield BLANKS


async def events() -> AsyncIterator[bytes]:
    """Yield events of a stream that say nothing."""
    while True:
        async for event in sse([{"choices": [], "said": "nothing " * 1000}]):
            yield event.encode()


async def packed_blanks() -> AsyncIterator[bytes]:
    """Yield a gzip file of blanks without an end; a thousandth of their size."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    while True:
        yield packing.compress(BLANKS) + packing.flush(zlib.Z_SYNC_FLUSH)


async def solve(server: Scripted, fault: object, *, is_streamed: bool = False) -> Result:
    longest, stops = (64, ("###",)) if is_streamed else (20, ())
    recipe = Recipe(policy=Never(), max_answer_tokens=longest, stop_strings=stops)
    async with Controller(generator=server.backend(patience=SMALL), recipe=recipe) as controller:
        server.asked.clear()
        server.faults.append(fault)  # type: ignore[arg-type]  # callables of several kinds
        return await controller.solve("q")


@pytest.mark.parametrize(
    ("chunks", "headers", "is_streamed"),
    [
        pytest.param(blanks, {}, False, id="whole"),
        pytest.param(events, {}, True, id="stream"),
        pytest.param(packed_blanks, {"content_encoding": "gzip"}, False, id="packed"),
        pytest.param(packed_blanks, {"content_encoding": "gzip"}, True, id="packed stream"),
    ],
)
async def test_an_answer_without_an_end_is_left_and_not_asked_for_again(
    chunks: Callable[[], AsyncIterator[bytes]], headers: dict[str, str], is_streamed: bool
) -> None:
    pouring = Pouring(chunks, **headers)
    async with running(Scripted()) as server:
        result = await solve(server, pouring, is_streamed=is_streamed)
        with anyio.fail_after(5):
            await pouring.left.wait()
        asked = len(server.asked)

    with pytest.raises(ModelCallError, match=TOLD):
        result.raise_for_error()
    assert asked == 1
    (call,) = result.calls
    assert (call.outcome, call.attempts, call.is_estimated) == ("failed", 1, True)


async def test_a_few_packed_bytes_that_unpack_to_much_are_left() -> None:
    # 100 MiB in 100 KB.
    bomb = gzip.compress(b" " * 100 * 2**20, compresslevel=9)

    async def send(server: Scripted, asked: Json) -> Response:
        return Response(bomb, headers={"content-encoding": "gzip"}, media_type="application/json")

    async with running(Scripted()) as server:
        result = await solve(server, send)

    with pytest.raises(ModelCallError, match=TOLD):
        result.raise_for_error()


async def test_an_error_page_is_bounded_too() -> None:
    async def fail(server: Scripted, asked: Json) -> Response:
        return Response(b"x" * 2**20, 400)

    async with running(Scripted()) as server:
        result = await solve(server, fail)

    with pytest.raises(ModelCallError, match=TOLD):
        result.raise_for_error()


async def test_a_packed_answer_within_the_bound_is_read() -> None:
    async def pack(server: Scripted, asked: Json) -> Response:
        body = json.dumps({**server.part(server.words(asked), "stop", asked), "pad": "x" * 2**18})
        return Response(
            gzip.compress(body.encode()),
            headers={"content-encoding": "gzip"},
            media_type="application/json",
        )

    async with running(Scripted()) as server:
        result = await solve(server, pack)

    assert (result.text, result.error) == (" one two three four five six", None)


@pytest.mark.parametrize(
    ("packing", "told"),
    [
        ("br", "the server packed its answer as 'br', which it was not asked to do"),
        ("gzip", "the answer cannot be unpacked"),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(packing: str, told: str) -> None:
    async def garble(server: Scripted, asked: Json) -> Response:
        server.faults.append(garble)
        return Response(b"{}", headers={"content-encoding": packing}, media_type="application/json")

    async with running(Scripted()) as server:
        result = await solve(server, garble)

    with pytest.raises(ModelCallError, match=told):
        result.raise_for_error()
