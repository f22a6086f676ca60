"""Server-sent events, read from the bytes of a response."""

import json
from collections.abc import AsyncGenerator, AsyncIterable

_END = "[DONE]"


async def read_events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[object, None]:
    """Yield what the events hold, as JSON says it, until the stream or the protocol ends.

    Raises:
        json.JSONDecodeError: An event is broken.
    """
    begun: list[bytes] = []
    data: list[str] = []
    async for chunk in chunks:
        begun.append(chunk)
        if b"\n" not in chunk:
            continue
        *lines, rest = b"".join(begun).split(b"\n")
        begun = [rest]
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text.startswith("data:"):
                data.append(text.removeprefix("data:").removeprefix(" "))
            elif not text and data:
                told, data = "\n".join(data), []
                if told.strip() == _END:
                    return
                yield json.loads(told)


async def read_whole(chunks: AsyncIterable[bytes]) -> AsyncGenerator[object, None]:
    """Yield an answer that is no stream as the only event: as JSON says it, or else as text."""
    whole = b"".join([chunk async for chunk in chunks]).decode(errors="replace")
    try:
        told = json.loads(whole)
    except json.JSONDecodeError:
        told = whole
    yield told
