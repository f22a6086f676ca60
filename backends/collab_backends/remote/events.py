"""Server-sent events, read from the bytes of a response."""

import json
from collections.abc import AsyncGenerator, AsyncIterable

_END = "[DONE]"


async def read_events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[object, None]:
    """Yield what the events hold, as JSON says it, until the stream or the protocol ends.

    Raises:
        json.JSONDecodeError: An event is broken.
    """
    rest = b""
    data: list[str] = []
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text.startswith("data:"):
                data.append(text.removeprefix("data:").removeprefix(" "))
            elif not text and data:
                told, data = "\n".join(data), []
                if told.strip() == _END:
                    return
                yield json.loads(told)
