"""The likeliest tokens from a server that takes ids, writes, and echoes what it is given."""

from dataclasses import dataclass

import pytest
from starlette.responses import JSONResponse, Response
from support.servers import Json, Scripted, running

from collab.capabilities import Need, match_needs
from collab.errors import CapabilityError
from collab.proposals import Candidate, Sampling, Until
from collab.signals import Signals
from collab.views import View, ViewOptions
from collab_backends.tokenizing.codec import TextCodec
from collab_backends.tokenizing.sources import load_tokenizer

CODEC = TextCodec(load_tokenizer("lab/generator"), "lab/generator")
(SO,) = CODEC.splice((), "So").added
LIKELIEST = {"So": -0.5, "a": -1.5, "b": -2.5, "c": -3.5}
VIEW = View("mentor", "So", ViewOptions(template="raw"))


@dataclass
class Echoing(Scripted):
    """Writes one token again and again; of what it is given, other tokens are unlikely.

    Attributes:
        echoed: Candidates per token of an echo.
    """

    echoed: int = 3

    def answer(self, body: Json) -> Response:
        given, count = body["prompt"], int(body["max_tokens"])
        is_echo = bool(body.get("echo"))
        ids = [*(given if is_echo else ()), *[SO] * count]
        most = min(int(body.get("logprobs") or 0), self.echoed if is_echo else 4)
        texts = [CODEC.piece(one) for one in ids]
        values = [LIKELIEST.get(text, -9.0) for text in texts]
        top = dict(list(LIKELIEST.items())[:most])
        logprobs = {
            "tokens": texts,
            "token_logprobs": values,
            "top_logprobs": [
                top | {text: value} for text, value in zip(texts, values, strict=True)
            ],
        }
        choice = {
            "text": "So" * count,
            "token_ids": [SO] * count,
            "logprobs": logprobs if most else None,
            "finish_reason": "length",
        }
        usage = {"prompt_tokens": len(given), "completion_tokens": count}
        return JSONResponse({"choices": [choice], "usage": usage})


async def test_written_and_scored_tokens_name_the_likeliest() -> None:
    async with running(Echoing()) as server:
        async with server.backend(mode="tokens", tokenizer="lab/generator").connect() as model:
            async with model.open(VIEW, seed=0, signals=Signals(top_k=2)) as session:
                (written,) = (await session.generate(Until(1), Sampling())).tokens
                scored = await session.score(" m = 8")

    likeliest = (Candidate(-1, "So", -0.5), Candidate(-1, "a", -1.5))
    assert (written.id, written.top) == (SO, likeliest)
    assert len(scored) > 1
    for token in scored:
        assert (token.logprob, token.top) == (-9.0, likeliest)


@pytest.mark.parametrize("echoed", [1, 3])
async def test_an_echo_may_name_fewer_than_an_answer(echoed: int) -> None:
    async with running(Echoing(echoed=echoed)) as server:
        async with server.backend(mode="tokens", tokenizer="lab/generator").connect() as model:
            can = model.capabilities

    assert (can.can_score, can.top_logprobs) == (True, 4)
    # The echo names the token itself too, where it is not one of the likeliest.
    assert can.score_top_logprobs == echoed
    with pytest.raises(CapabilityError, match=r"needs score_top_logprobs \(k=4\) of the mentor"):
        match_needs({"Mixing": [Need("mentor", "score_top_logprobs", 4)]}, {"mentor": can})
