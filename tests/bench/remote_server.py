"""A server that answers every request with the same 16 tokens, after a delay: `PORT DELAY_S`.

Streams are of 64 tokens.
"""

import asyncio
import json
import sys
from typing import Any

import uvicorn

WORDS = [f" word{n}" for n in range(16)]


def _answer() -> bytes:
    content = [
        {
            "token": word,
            "logprob": -0.1,
            "top_logprobs": [{"token": f"{word}{k}", "logprob": -0.1 - k} for k in range(5)],
        }
        for word in WORDS
    ]
    choice = {
        "text": "".join(WORDS),
        "logprobs": {"content": content},
        "finish_reason": "length",
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 16}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def _stream() -> bytes:
    events = [{"choices": [{"text": f" word{n}", "finish_reason": None}]} for n in range(64)]
    end: dict[str, Any] = {"choices": [{"text": "", "finish_reason": "length"}]}
    told = [*map(json.dumps, [*events, end]), "[DONE]"]
    return "".join(f"data: {one}\n\n" for one in told).encode()


ANSWER = _answer()
STREAM = _stream()
MODELS = json.dumps({"data": [{"id": "m", "owned_by": "bench"}]}).encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    asked, is_more = b"", True
    while is_more:
        message = await receive()
        asked += message.get("body", b"")
        is_more = message.get("more_body", False)
    body = MODELS if scope["path"].endswith("/models") else ANSWER
    kind = b"application/json"
    if b'"stream":true' in asked.replace(b" ", b""):
        body, kind = STREAM, b"text/event-stream"
    if body is not MODELS and DELAY_S:
        await asyncio.sleep(DELAY_S)
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    PORT, DELAY_S = int(sys.argv[1]), float(sys.argv[2])
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="critical", access_log=False)
