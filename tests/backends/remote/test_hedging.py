"""Calls that are asked a second time where the first answer is slow."""

import anyio
import pytest
from starlette.responses import Response
from support.servers import IMPATIENT, Json, Scripted, running, status

from collab.errors import ModelCallError
from collab.views import View, ViewOptions
from collab_backends.remote.hedging import Hedge

VIEW = View("mentor", "q", ViewOptions(template="raw"))
EAGER = IMPATIENT.model_copy(update={"hedge_after_s": 0.05, "attempt_s": 30, "silence_s": 30})
ONE_TOKEN = {"max_tokens": 1, "temperature": 0.0}


async def test_a_slow_judgement_is_asked_again_and_the_loser_is_cancelled_and_counted() -> None:
    async def stuck(server: Scripted, asked: Json) -> Response:
        await anyio.sleep_forever()
        raise AssertionError("for ever")

    async with running(Scripted()) as server:
        async with server.backend(patience=EAGER).connect() as model:
            server.faults.append(stuck)
            async with model.open(VIEW, seed=0) as session:
                answer = await session.judge("?", ("one", "two"))

    assert answer.labels["one"] > 0
    assert (session.meter.attempts, session.meter.is_estimated) == (2, True)


async def test_longer_calls_are_not_asked_twice() -> None:
    hedge = Hedge(0.1)

    assert hedge.delay_s({"max_tokens": 2, "temperature": 0.0}) is None
    assert hedge.delay_s({"max_tokens": 1, "temperature": 0.7}) is None
    assert hedge.delay_s(ONE_TOKEN) == 0.1
    assert Hedge(None).delay_s(ONE_TOKEN) is None


async def test_few_calls_are_asked_twice_however_slow_the_server_is() -> None:
    hedge = Hedge(0.1)
    begun = 0
    for _ in range(1000):
        hedge.delay_s(ONE_TOKEN)
        begun += hedge.may_begin()

    assert begun == 50


async def test_if_both_fail_the_failure_that_came_first_is_told() -> None:
    asked_again = anyio.Event()

    async def slow(server: Scripted, asked: Json) -> Response:
        await asked_again.wait()
        return await status(422, "first")(server, asked)

    async def quick(server: Scripted, asked: Json) -> Response:
        asked_again.set()
        return await status(422, "second")(server, asked)

    async with running(Scripted()) as server:
        async with server.backend(patience=EAGER).connect() as model:
            server.faults += [slow, quick]
            async with model.open(VIEW, seed=0) as session:
                with pytest.raises(ModelCallError, match="status 422"):
                    await session.judge("?", ("one", "two"))
