"""How long a slow or busy server is waited for: as long as it works, for this call or others."""

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse
from support.servers import IMPATIENT, Json, Scripted, running, sse

from collab import Controller, Recipe, Result
from collab.errors import ModelCallError
from collab_backends.remote.faults import Fault
from collab_backends.remote.hints import retry_after
from collab_backends.remote.model import RemoteModel
from collab_backends.remote.patience import Patience, Tries
from collab_policies.never import Never

ANSWER = " one two three four five six"
BUSY = Fault("429", is_retried=True, is_overload=True)
BROKEN = Fault("500", is_retried=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def solve(server: Scripted, *, tokens: int = 64, **options: object) -> Result:
    async with Controller(
        generator=server.backend(**options), recipe=Recipe(policy=Never(), max_answer_tokens=tokens)
    ) as controller:
        return await controller.solve("q")


def speaking_every(seconds: float) -> Scripted:
    """Return a server that says a word now and then, also to whoever wants no stream."""

    def slowly(server: Scripted, body: Json) -> Response:
        async def events() -> AsyncIterator[str]:
            for word in server.words(body):
                await anyio.sleep(seconds)
                async for event in sse([server.part([word], "", body)]):
                    yield event
            async for event in sse([server.part([], "stop", body), "[DONE]"]):
                yield event

        return StreamingResponse(events(), media_type="text/event-stream")

    scripted = Scripted()
    scripted.refuses = lambda body: slowly(scripted, body) if body.get("stream") else None
    return scripted


async def test_a_stream_may_take_as_long_as_words_keep_coming() -> None:
    # Six words take 0.6 s, which is more than an attempt or a call may take without a word.
    patience = IMPATIENT.model_copy(update={"attempt_s": 0.4, "call_s": 0.5, "silence_s": 0.5})
    async with running(speaking_every(0.1)) as server:
        result = await solve(server, patience=patience)

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [1])


async def test_a_stream_in_which_no_word_comes_is_given_up_by_name() -> None:
    async def keeping_alive() -> AsyncIterator[str]:
        while True:
            await anyio.sleep(0.05)
            yield ": still here\n\n"

    patience = IMPATIENT.model_copy(update={"attempts": 1, "attempt_s": 0.4})
    async with running(Scripted()) as server:
        backend = server.backend(patience=patience)
        recipe = Recipe(policy=Never(), max_answer_tokens=64)
        async with Controller(generator=backend, recipe=recipe) as controller:
            server.refuses = lambda _: StreamingResponse(
                keeping_alive(), media_type="text/event-stream"
            )
            result = await controller.solve("q")

    with pytest.raises(ModelCallError, match=r"no word came for 0\.4 s \(`patience.attempt_s`\)"):
        result.raise_for_error()


async def test_an_answer_that_does_not_come_whole_in_time_is_told_with_its_bound() -> None:
    async def never(body: Json) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(0.05)
            yield b" "

    patience = IMPATIENT.model_copy(update={"attempts": 1, "attempt_s": 0.3})
    async with running(Scripted()) as server:
        backend = server.backend(patience=patience)
        recipe = Recipe(policy=Never(), max_answer_tokens=20)
        async with Controller(generator=backend, recipe=recipe) as controller:
            server.refuses = lambda body: StreamingResponse(never(body))
            result = await controller.solve("q")

    with pytest.raises(ModelCallError, match=r"came within 0\.3 s \(`patience.attempt_s`\)"):
        result.raise_for_error()


async def test_a_busy_server_that_answers_others_is_asked_more_often_than_a_broken_one() -> None:
    left = 8  # more refusals than there are attempts

    def refuse(body: Json) -> Response | None:
        nonlocal left
        if "stream" not in body or left == 0:
            return None
        left -= 1
        return JSONResponse({"error": {"message": "Please try again in 1ms"}}, 429)

    async with running(Scripted()) as server:
        recipe = Recipe(policy=Never(), max_answer_tokens=64)
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            server.refuses = refuse
            result = await controller.solve("q")

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [9])


async def test_a_slow_server_with_fewer_places_than_calls_answers_all_of_them() -> None:
    # Two at a time take 0.6 s each, while a call hears nothing for 0.5 s at most.
    places = anyio.Semaphore(2)
    slow = speaking_every(0.1)

    def in_turn(server: Scripted, body: Json) -> Response:
        response = slow.refuses(body)
        assert isinstance(response, StreamingResponse)
        words = response.body_iterator

        async def events() -> AsyncIterator[object]:
            async with places:
                async for event in words:
                    yield event

        return StreamingResponse(events(), media_type="text/event-stream")  # type: ignore[arg-type]

    patience = IMPATIENT.model_copy(update={"attempt_s": 0.5, "silence_s": 9.0})
    recipe = Recipe(policy=Never(), max_answer_tokens=64)
    async with running(Scripted()) as server:
        backend = server.backend(patience=patience)
        async with Controller(generator=backend, recipe=recipe) as controller:
            server.refuses = lambda body: in_turn(server, body)
            async with controller.map([f"q{n}" for n in range(8)], concurrency=8) as results:
                found = [result async for result in results]
            (model,) = controller.models.values()

    assert [result.text for result in found] == [ANSWER] * 8
    assert isinstance(model, RemoteModel)
    assert model.endpoints[0].limit.bound < 8


async def test_a_server_that_asks_to_be_left_alone_for_too_long_is_not_waited_for() -> None:
    def refuse(body: Json) -> Response | None:
        headers = {"retry-after": "3600"}
        return JSONResponse({"error": {"message": "later"}}, 429, headers)

    async with running(Scripted()) as server:
        recipe = Recipe(policy=Never(), max_answer_tokens=20)
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            server.refuses = refuse
            server.asked.clear()
            result = await controller.solve("q")

    assert len(server.asked) == 1
    with pytest.raises(ModelCallError, match="to be left alone for 3,600 s, longer than `patience"):
        result.raise_for_error()


def tries(clock: Clock, **options: float) -> Tries:
    return Tries(Patience.model_validate({"attempts": 3, "call_s": 300, **options}), clock=clock)


def test_a_busy_server_is_waited_for_while_it_answers_someone() -> None:
    clock = Clock()
    some = tries(clock)

    assert not any(some.is_over(BUSY, answered_at=clock.now - 80) for _ in range(50))
    assert some.is_over(BUSY, answered_at=clock.now - 100)


def test_a_busy_server_that_answers_no_one_is_asked_as_often_as_a_broken_one() -> None:
    clock = Clock()
    for fault in (BUSY, BROKEN):
        some = tries(clock)
        over = [some.is_over(fault, answered_at=-1e9) for _ in range(3)]
        assert over == [False, False, True]


def test_a_broken_answer_is_not_asked_for_more_often_because_others_get_theirs() -> None:
    clock = Clock()
    some = tries(clock)

    assert [some.is_over(BROKEN, answered_at=clock.now) for _ in range(3)] == [False, False, True]


def test_patience_begins_again_with_every_word_and_does_not_run_in_our_own_queue() -> None:
    clock = Clock()
    some = tries(clock)
    clock.now += 200
    assert some.left_s == 100
    some.note_queued(150)
    assert some.left_s == 250
    clock.now += 240
    assert some.note_word()  # it was long in coming

    assert some.left_s == 300
    clock.now += 30
    assert not some.note_word()


def test_waits_grow_and_those_for_a_busy_server_grow_longer() -> None:
    clock = Clock()
    longest = {}
    for fault in (BUSY, BROKEN):
        some = tries(clock)
        for _ in range(12):
            some.is_over(fault, answered_at=clock.now)
        longest[fault.what] = max(some.wait_s(fault) for _ in range(200))

    assert 8 < longest["429"] <= 30
    assert 4 < longest["500"] <= 8


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s"}, "", 1),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}, "", 360),
        (
            {
                "x-ratelimit-reset-requests": "8.64s",
                "x-ratelimit-reset-tokens": "1h2m3.5s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-remaining-tokens": "900",
            },
            "",
            8.64,
        ),
        ({"ratelimit-reset": "17"}, "", 17),
        ({"retry-after": "2", "x-ratelimit-reset-requests": "9s"}, "", 2),
        ({}, "Rate limit reached. Please try again in 16.6s.", 16.6),
        ({}, "Please try again in 1m30s. Visit us.", 90),
        ({}, "Please retry after 20 seconds.", 20),
        ({}, "Retry in 250 milliseconds", 0.25),
        ({}, "wait 2 minutes", 120),
        ({}, "requests per minute", None),
        ({"x-ratelimit-reset-requests": "soon"}, "", None),
    ],
)
def test_a_hint_of_when_to_come_back_is_found(
    headers: dict[str, str], said: str, seconds: float | None
) -> None:
    assert retry_after(headers, said) == (None if seconds is None else pytest.approx(seconds))
