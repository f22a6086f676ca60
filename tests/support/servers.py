"""A small OpenAI-compatible server of our own, that can be told to misbehave."""

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from collab.concurrency import unwrapped
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.patience import Patience

Json = dict[str, Any]
Misbehaviour = Callable[["Scripted", Json], Awaitable[Response]]

IMPATIENT = Patience(attempts=3, connect_s=1, attempt_s=1, call_s=5, silence_s=0.5)


@dataclass
class Scripted:
    """Writes words of a given answer behind any text, and does what it is told before that.

    Attributes:
        writes: The whole answer, as words with their leading spaces.
        faults: What to do with the next requests instead of answering, one each.
        asked: The bodies of all requests to write.
        top_logprobs: Candidates per token that it gives.
        owner: What it says of itself.
        repeats_prefill: Whether it gives a last message of the assistant back with its answer.
        refuses: Looked at before every answer: the refusal of a request, or nothing.
        reshapes: Changes whatever it answers, each part of a stream too.
        listing: What it answers to whoever asks for its models; a status and a body.
        addressed: The query and headers of all requests to write.
    """

    writes: Sequence[str] = (" one", " two", " three", " four", " five", " six")
    faults: list[Misbehaviour] = field(default_factory=list)
    asked: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    top_logprobs: int = 5
    owner: str = "scripted"
    repeats_prefill: bool = False
    refuses: Callable[[Json], Response | None] = lambda _: None
    reshapes: Callable[[Json], Json] = lambda part: part
    listing: tuple[int, object] | None = None
    addressed: list[tuple[Json, Json]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def backend(self, **options: Any) -> OpenAIServer:
        defaults: Json = {"model": "m", "base_url": self.url, "patience": IMPATIENT, "mode": "text"}
        return OpenAIServer(**defaults | options)

    def app(self) -> Starlette:
        async def models(_: Request) -> Response:
            listed: object = {"data": [{"id": "m", "owned_by": self.owner}]}
            code, listed = self.listing or (200, listed)
            return JSONResponse(listed, code)

        async def write(request: Request) -> Response:
            body = await request.json()
            self.keys.append(request.headers.get("authorization", ""))
            self.addressed.append((dict(request.query_params), dict(request.headers)))
            self.asked.append(body)
            if (refusal := self.refuses(body)) is not None:
                return refusal
            if self.faults:
                return await self.faults.pop(0)(self, body)
            return self.answer(body)

        return Starlette(
            routes=[
                Route("/v1/models", models),
                Route("/v1/completions", write, methods=["POST"]),
                Route("/v1/chat/completions", write, methods=["POST"]),
            ]
        )

    def words(self, body: Json) -> list[str]:
        """Return the words that follow what the request holds."""
        if "messages" in body:
            last = body["messages"][-1]
            text = last["content"] if last["role"] == "assistant" else ""
        else:
            text = str(body["prompt"])
        said = sum(word in text for word in self.writes)
        return list(self.writes[said : said + _most(body)])

    def answer(self, body: Json) -> Response:
        words = self.words(body)
        if self.repeats_prefill and "messages" in body:
            last = body["messages"][-1]
            words = [last["content"] if last["role"] == "assistant" else "", *words]
        finish = "length" if len(words) == _most(body) else "stop"
        events = [self.part([word], "", body) for word in words] + [self.part([], finish, body)]
        events = [self.reshapes(one) for one in events]
        if body.get("stream"):
            return StreamingResponse(sse([*events, "[DONE]"]), media_type="text/event-stream")
        whole = self.part(words, finish, body)
        # What a template puts around messages is counted too, but not behind one to be continued.
        is_continued = "prompt" in body or body.get("continue_final_message")
        counted = 99 if self.repeats_prefill else 1 if is_continued else 4
        usage = {"prompt_tokens": counted, "completion_tokens": len(words)}
        return JSONResponse(self.reshapes({**whole, "usage": usage}))

    def part(self, words: Sequence[str], finish: str, body: Json) -> Json:
        text = "".join(words)
        count = min(int(body.get("top_logprobs") or body.get("logprobs") or 0), self.top_logprobs)
        content = [
            {
                "token": word,
                "logprob": -0.1,
                "top_logprobs": [
                    {"token": word if n == 0 else f"~{n}", "logprob": -0.1 - n}
                    for n in range(count)
                ],
            }
            for word in words
        ]
        choice: Json = {"finish_reason": finish or None}
        choice |= (
            {"message": {"content": text}, "delta": {"content": text}}
            if ("messages" in body)
            else {"text": text}
        )
        if count:
            choice["logprobs"] = {"content": content}
        return {"choices": [choice]}


def _most(body: Json) -> int:
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 99)


def status(code: int, body: object, **headers: str) -> Misbehaviour:
    async def misbehave(server: Scripted, asked: Json) -> Response:
        return JSONResponse({"error": {"message": body}}, code, headers)

    return misbehave


def says(response: Callable[[Scripted, Json], Response]) -> Misbehaviour:
    async def misbehave(server: Scripted, asked: Json) -> Response:
        return response(server, asked)

    return misbehave


async def sse(events: Sequence[Json | str]) -> AsyncIterator[str]:
    """Yield events as a server-sent stream."""
    for event in events:
        yield f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n"


@asynccontextmanager
async def running(scripted: Scripted) -> AsyncIterator[Scripted]:
    """Serve on a free port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        scripted.port = listener.getsockname()[1]
        config = uvicorn.Config(scripted.app(), log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        with unwrapped():
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listener])
                while not server.started:
                    await anyio.lowlevel.checkpoint()
                try:
                    yield scripted
                finally:
                    server.should_exit = True
                    server.force_exit = True


@asynccontextmanager
async def listening(answer: bytes, *, resets: bool = False) -> AsyncIterator[int]:
    """Serve raw bytes to whoever connects, then close or reset it; yield the port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)
            if resets:
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()
