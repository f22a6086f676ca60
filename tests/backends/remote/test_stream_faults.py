"""What happens to streams: one that does not end properly is never taken for the end of a text."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response, StreamingResponse
from support.servers import Json, Misbehaviour, Scripted, listening, running, says, sse

from collab import Controller, Recipe, Result
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.patience import Patience
from collab_policies.never import Never

ANSWER = " one two three four five six"
STREAMED = Recipe(policy=Never(), stop_strings=("###",))
"""Long stretches that a stop string may end are streamed."""


async def solve(server: Scripted, fault: Misbehaviour) -> Result:
    async with Controller(generator=server.backend(), recipe=STREAMED) as controller:
        server.faults.append(fault)
        return await controller.solve("q")


STREAM_FAULTS = [
    pytest.param(
        says(lambda s, b: StreamingResponse(sse([s.part([" one"], "", b)]))), id="cut cleanly"
    ),
    pytest.param(
        says(
            lambda s, b: StreamingResponse(
                sse([s.part([" one"], "", b), {"error": {"message": "busy", "code": "503"}}])
            )
        ),
        id="error event",
    ),
    pytest.param(
        says(lambda s, b: StreamingResponse(sse([s.part([" one"], "", b), '{"choices": [{']))),
        id="truncated event",
    ),
]


@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_stream_that_does_not_end_properly_is_asked_for_again(fault: Misbehaviour) -> None:
    async with running(Scripted()) as server:
        result = await solve(server, fault)

    assert (result.text, result.error) == (ANSWER, None)
    assert [call.attempts for call in result.calls] == [2]


@pytest.mark.parametrize("resets", [True, False], ids=["reset", "closed"])
async def test_a_stream_that_breaks_off_is_never_taken_for_the_end_of_a_text(
    *, resets: bool
) -> None:
    part = json.dumps(Scripted().part([" one"], "", {}))
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
    body = f"{head}data: {part}\n\n".encode()
    async with running(Scripted()) as server, listening(body, resets=resets) as broken:
        backend = OpenAIServer(
            model="m",
            base_url=(server.url, f"http://127.0.0.1:{broken}/v1"),
            mode="text",
            patience=Patience(attempts=2, attempt_s=2, call_s=5),
        )
        async with Controller(generator=backend, recipe=STREAMED) as controller:
            async with controller.map([f"q{n}" for n in range(8)], concurrency=2) as results:
                found = [result async for result in results]

    # Problems that begin at the broken server are answered by the other one.
    assert {result.text for result in found} == {ANSWER}
    attempts = {result.calls[0].attempts for result in found}
    assert 1 in attempts
    assert max(attempts) in (2, 3)


async def test_a_stream_without_counts_is_counted_by_what_came_and_marked() -> None:
    async with running(Scripted()) as server:
        # The scripted server sends none in streams.
        result = await solve(server, says(lambda s, b: s.answer(b)))

    (call,) = result.calls
    assert (call.completion_tokens, call.is_estimated) == (6, True)


async def test_counts_at_the_end_of_a_stream_are_believed() -> None:
    def counted(server: Scripted, asked: Json) -> Response:
        usage = {"prompt_tokens": 7, "completion_tokens": 6}
        events = [
            server.part([ANSWER], "", asked),
            server.part([], "stop", asked),
            {"choices": [], "usage": usage},
        ]
        return StreamingResponse(sse([*events, "[DONE]"]), media_type="text/event-stream")

    async with running(Scripted()) as server:
        result = await solve(server, says(counted))

    (call,) = result.calls
    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == (7, 6, False)


async def test_a_stream_that_comes_byte_by_byte_is_the_same_stream() -> None:
    async def in_bytes(server: Scripted, asked: Json) -> Response:
        async def one_by_one() -> AsyncIterator[bytes]:
            events = [server.part([word], "", asked) for word in server.words(asked)]
            async for event in sse([*events, server.part([], "stop", asked), "[DONE]"]):
                for number in event.encode():
                    yield bytes([number])

        return StreamingResponse(one_by_one(), media_type="text/event-stream")

    async with running(Scripted()) as server:
        result = await solve(server, in_bytes)

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [1])
