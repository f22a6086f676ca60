"""What a stream costs that is left before its end: as near as can be known."""

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.responses import Response, StreamingResponse
from support.servers import Json, Misbehaviour, Scripted, running, sse

from collab.proposals import Sampling, Until
from collab.seam import Meter
from collab.units import WordUnit
from collab.views import View, ViewOptions
from collab_backends.remote.estimating import Estimates, completion_tokens
from collab_backends.remote.paid import Paid
from collab_backends.remote.wire import Answer, read_stream

GREEDY = Sampling()
VIEW = View("mentor", "some three words", ViewOptions(template="raw"))
WORDS = Until(100, WordUnit(), 2)
"""A stream is left when its third word begins."""


def going_on(with_each: Json | None = None) -> Misbehaviour:
    """Write words for ever, each with what it cost so far."""

    async def misbehave(server: Scripted, asked: Json) -> Response:
        async def events() -> AsyncIterator[str]:
            for number in range(1, 4):
                part = server.part([" word"], "", asked)
                if with_each is not None:
                    part |= {name: so_far(counts, number) for name, counts in with_each.items()}
                async for event in sse([part]):
                    yield event
            await anyio.sleep_forever()

        return StreamingResponse(events(), media_type="text/event-stream")

    return misbehave


def so_far(counts: Json, number: int) -> Json:
    """Return counts with `number` tokens written."""
    written = ("predicted_n", "completion_tokens")
    return {name: number if name in written else count for name, count in counts.items()}


async def left(*faults: Misbehaviour) -> tuple[Meter, Json]:
    """Leave a stream; return what was counted and the request."""
    async with running(Scripted(top_logprobs=0)) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            server.faults += faults
            with anyio.fail_after(5):
                proposal = await session.generate(WORDS, GREEDY)

    assert proposal.text == " word word"
    return session.meter, server.asked[-1]


async def test_a_stream_without_counts_is_counted_by_what_was_heard_and_what_followed() -> None:
    meter, _ = await left(going_on())

    # 3 words heard, and 2 that are decoded until the server notices.
    assert (meter.prompt_tokens, meter.completion_tokens, meter.cached_tokens) == (3, 5, 0)
    assert meter.is_estimated


async def test_counts_that_come_with_every_part_are_those_of_a_stream_that_is_left() -> None:
    timings = {"cache_n": 40, "prompt_n": 2, "predicted_n": 0}
    usage = {
        "prompt_tokens": 42,
        "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 40},
    }
    asked: Json = {}
    for with_each in ({"timings": timings}, {"usage": usage}):
        meter, asked = await left(going_on(with_each))
        assert (meter.prompt_tokens, meter.cached_tokens) == (42, 40)
        assert (meter.completion_tokens, meter.is_estimated) == (5, True)

    assert asked["timings_per_token"]
    assert asked["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


async def test_a_stream_whose_end_is_near_is_read_to_its_end_and_counted() -> None:
    async def short(server: Scripted, asked: Json) -> Response:
        words = [" a", " b", " c", " d"][: asked["max_tokens"]]
        parts = [server.part([word], "", asked) for word in words]
        usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(words)}}
        end = server.part([], "length", asked)
        return StreamingResponse(sse([*parts, end, usage, "[DONE]"]))

    async with running(Scripted(top_logprobs=0)) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            server.faults += [short]
            proposal = await session.generate(
                Until(4, WordUnit(), stop_if=lambda tokens: len(tokens) == 2), GREEDY
            )

    assert proposal.text == " a"
    assert (session.meter.completion_tokens, session.meter.is_estimated) == (4, False)


async def test_parts_that_had_come_by_then_are_counted_and_not_read() -> None:
    async def events() -> AsyncIterator[object]:
        for number in range(1, 6):
            choice = {"text": " a", "finish_reason": None}
            yield {"choices": [choice], "timings": {"prompt_n": 7, "predicted_n": number}}
        await anyio.sleep_forever()

    answer = await read_stream(
        events(), is_chat=False, is_enough=lambda so_far: so_far.text == " a a"
    )

    assert (answer.text, answer.is_left, answer.unread) == (" a a", True, 3)
    assert (answer.paid.prompt, answer.paid.completion) == (7, 5)
    assert completion_tokens(answer) == 7


def test_tokens_of_a_prompt_are_estimated_by_what_the_server_counted_for_others() -> None:
    estimates = Estimates()
    assert estimates.prompt_tokens("one two three four") == 4
    estimates.learn("one two", Paid(prompt=3))

    assert estimates.prompt_tokens("one two three four") == 6
    assert estimates.prompt_tokens((1, 2, 3)) == 3


@pytest.mark.parametrize(("before", "cached"), [((1, 2, 3), 3), ((1, 2, 9, 9), 2), ((), 0)])
def test_the_head_that_was_sent_before_is_cached_where_the_server_caches(
    before: tuple[int, ...], cached: int
) -> None:
    estimates = Estimates()
    assert estimates.cached_tokens((1, 2, 3, 4), before) == 0
    estimates.learn((1, 2), Paid(prompt=2, cached=1))

    assert estimates.cached_tokens((1, 2, 3, 4), before) == cached


def test_the_last_token_of_a_prompt_is_never_cached() -> None:
    estimates = Estimates()
    estimates.learn((1, 2), Paid(prompt=2, cached=1))

    assert estimates.cached_tokens((1, 2, 3), (1, 2, 3)) == 2


def test_an_answer_that_was_read_to_its_end_costs_what_was_heard() -> None:
    assert completion_tokens(Answer("two words", finish="stop")) == 2
