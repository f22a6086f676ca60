"""Answers of bounded size: bytes are counted as they arrive, and what is packed as it unpacks."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import cast

import httpx2

from collab_backends.remote.faults import AttemptFailed, Fault

ACCEPTED = "gzip"
"""How answers may be packed: what is not unpacked here could not be counted here."""

_PIECE_BYTES = 2**20
_MIB = 2**20


def bounding(most_mib: float) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a hook of a client which ends answers that grow larger than a bound.

    Reading such an answer raises `AttemptFailed`; the client then closes its connection.

    Args:
        most_mib: The bound, in MiB of the unpacked answer.
    """

    async def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream), "hooks come before reading"
        # Taken off, because what is read from here on is unpacked.
        packing = response.headers.pop("content-encoding", "identity").strip().lower()
        if packing not in ("identity", ACCEPTED):
            raise AttemptFailed(
                Fault(f"the server packed its answer as {packing!r}, which it was not asked to do")
            )
        response.stream = _BoundedStream(response.stream, most_mib, is_packed=packing == ACCEPTED)

    return bound


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most_mib: float, *, is_packed: bool) -> None:
        self._stream = stream
        self._most_mib = most_mib
        self._unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS) if is_packed else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        # Closed here, not when it is collected: a stream may be left at any time.
        async with aclosing(cast("AsyncGenerator[bytes]", aiter(self._stream))) as chunks:
            async for chunk in chunks:
                for piece in self._unpacked(chunk):
                    seen += len(piece)
                    if seen > self._most_mib * _MIB:
                        raise AttemptFailed(Fault(self._told_too_large()))
                    yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _told_too_large(self) -> str:
        return (
            f"the answer is larger than {self._most_mib:g} MiB and was left; if such answers are "
            "wanted, raise `patience.max_response_mib`"
        )

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        """Yield pieces of bounded size: a few packed bytes can be gigabytes."""
        if self._unpacking is None:
            yield chunk
            return
        try:
            while piece := self._unpacking.decompress(chunk, _PIECE_BYTES):
                yield piece
                chunk = self._unpacking.unconsumed_tail
        except zlib.error as error:
            what = f"the answer cannot be unpacked: {error}"
            raise AttemptFailed(Fault(what, is_retried=True)) from error
