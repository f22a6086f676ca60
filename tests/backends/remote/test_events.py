"""Server-sent events, however their bytes arrive."""

import json
from collections.abc import AsyncIterator

import pytest

from collab_backends.remote.events import read_events


async def read(raw: bytes, size: int) -> list[object]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    return [event async for event in read_events(chunks())]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
async def test_events_are_the_same_in_any_pieces(size: int, newline: str) -> None:
    told = [
        ": a remark",
        "",
        "event: message",
        'data: {"text": "é😀"}',
        "",
        'data: {"text":',
        'data: "two lines"}',
        "",
        "data: [DONE]",
        "",
        "data: nothing that counts",
        "",
    ]

    events = await read(newline.join([*told, ""]).encode(), size)

    assert events == [{"text": "é😀"}, {"text": "two lines"}]


async def test_a_broken_event_is_an_error_and_a_cut_one_is_left_out() -> None:
    with pytest.raises(json.JSONDecodeError):
        await read(b'data: {"text\n\n', 1000)
    assert await read(b'data: {"a": 1}\n\ndata: {"b', 1000) == [{"a": 1}]
