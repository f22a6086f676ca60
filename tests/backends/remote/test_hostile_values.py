"""Servers that quote keys, tell nonsense, give up, or are busy just when they are looked at."""

import json
import traceback
from collections.abc import Sequence

import pytest
from pydantic import ValidationError
from starlette.responses import HTMLResponse, JSONResponse, Response
from support.servers import Json, Misbehaviour, Scripted, running, says, status

from collab import Controller, Problem, Recipe, Result
from collab.errors import ContextOverflowError, ModelCallError, ModelLoadError
from collab.proposals import Candidate, Sampling, Until
from collab.signals import Signals
from collab.views import View, ViewOptions
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.entries import Entry, measured
from collab_backends.remote.failures import fault_of_status
from collab_backends.remote.hints import retry_after
from collab_backends.remote.model import RemoteModel
from collab_backends.remote.texts import cleaned
from collab_backends.remote.wire import Answer, read_stream
from collab_backends.tokenizing.codec import TextCodec
from collab_backends.tokenizing.sources import load_tokenizer
from collab_policies.never import Never

ANSWER = " one two three four five six"
KEY = "sk-TOPSECRET-0123456789abcdefghijklmnopqrstu"
ALONE = Recipe(policy=Never(), max_answer_tokens=20)
STREAMED = Recipe(policy=Never(), stop_strings=("###",))
VIEW = View("mentor", "q", ViewOptions(template="raw"))


async def solve(
    server: Scripted, faults: Sequence[Misbehaviour], recipe: Recipe = ALONE, **options: object
) -> Result:
    async with Controller(generator=server.backend(**options), recipe=recipe) as controller:
        server.faults += faults
        return await controller.solve("q")


def finished(reason: str) -> Misbehaviour:
    return says(lambda s, b: JSONResponse(s.part([" one"], reason, b)))


async def test_one_text_that_a_server_fails_at_keeps_it_from_no_other() -> None:
    async def choosy(server: Scripted, asked: Json) -> Response:
        server.faults.append(choosy)
        if "bad" in asked["prompt"]:
            return JSONResponse({"error": {"message": "oops"}}, 500)
        return server.answer(asked)

    async with running(Scripted()) as server:
        async with Controller(generator=server.backend(), recipe=ALONE) as controller:
            server.faults.append(choosy)
            problems = [Problem(id=f"{n}", prompt="bad" if n < 3 else "q") for n in range(12)]
            async with controller.map(problems, concurrency=1) as results:
                found = {result.problem.id: result async for result in results}

    assert [found[f"{n}"].error is None for n in range(12)] == [False] * 3 + [True] * 9


async def test_a_server_that_was_down_is_waited_for() -> None:
    async with running(Scripted()) as server:
        async with Controller(
            generator=server.backend(patience={"attempts": 9, "call_s": 30}), recipe=ALONE
        ) as controller:
            server.faults += [says(lambda *_: HTMLResponse("<html>", 502))] * 6
            result = await controller.solve("q")

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [7])


@pytest.mark.parametrize("before", range(330, 420, 10))
async def test_a_key_that_is_quoted_at_any_place_is_not_shown_in_parts(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with running(Scripted()) as server:
        result = await solve(server, [status(401, "y" * before + f" Bearer {KEY}")])

    with pytest.raises(ModelCallError) as raised:
        result.raise_for_error()
    told = "".join(traceback.format_exception(raised.value))
    assert KEY[:12] not in told


async def test_a_key_within_the_usage_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    usage = {"prompt_tokens": 1, "completion_tokens": 6, "who": [f"Bearer {KEY}", {"k": KEY}]}
    answer = says(lambda s, b: JSONResponse({**s.part(s.words(b), "stop", b), "usage": usage}))
    async with running(Scripted()) as server:
        result = await solve(server, [answer])

    (call,) = result.calls
    assert call.raw_usage[0]["who"] == ["Bearer ***", {"k": "***"}]


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": f"http://:{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://me:{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://127.0.0.1/v1#{KEY}"},
        {"api_key_env": KEY},
        {"api_key": KEY},
    ],
)
def test_a_key_that_is_given_in_the_wrong_place_is_refused_and_not_shown(options: Json) -> None:
    with pytest.raises(ValidationError) as raised:
        OpenAIServer.model_validate({"model": "m", "base_url": "http://127.0.0.1/v1"} | options)

    assert KEY not in str(raised.value)


async def test_a_server_that_is_busy_when_looked_at_is_looked_at_again() -> None:
    busy = status(429, "slow down", **{"retry-after": "0"})
    async with running(Scripted(top_logprobs=5)) as server:
        server.faults += [busy, busy]
        async with server.backend(mode=None, view={"template": "raw"}).connect() as model:
            assert isinstance(model, RemoteModel)
            observed = model.observed

    assert (observed.mode, observed.is_lenient, observed.top_logprobs) == ("text", True, 5)


async def test_a_server_that_stays_busy_says_nothing_about_what_it_can_do() -> None:
    busy = status(503, "loading", **{"retry-after": "0"})
    async with running(Scripted()) as server:
        server.faults += [busy] * 20
        with pytest.raises(ModelLoadError, match="status 503: loading"):
            async with server.backend(mode=None).connect():
                pass


async def test_another_server_is_asked_at_once_when_the_first_fails() -> None:
    async with running(Scripted()) as bad, running(Scripted()) as good:
        async with Controller(
            generator=good.backend(base_url=(bad.url, good.url)), recipe=ALONE
        ) as controller:
            bad.faults += [status(500, "oops")] * 50
            bad.asked.clear()
            async with controller.map([f"q{n}" for n in range(6)], concurrency=1) as results:
                found = [result async for result in results]

    assert {result.text for result in found} == {ANSWER}
    assert {result.calls[0].attempts for result in found} == {1, 2}


async def test_an_answer_that_the_server_gave_up_is_asked_for_again() -> None:
    async with running(Scripted()) as server:
        result = await solve(server, [finished("abort")])

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [2])


async def test_an_answer_that_is_kept_back_is_an_error() -> None:
    async with running(Scripted()) as server:
        result = await solve(server, [finished("content_filter")])

    with pytest.raises(ModelCallError, match="kept its answer back: 'content_filter'"):
        result.raise_for_error()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (JSONResponse({"error": {"message": "the quota is gone", "code": 402}}), "quota is gone"),
        (HTMLResponse("<html>sign in"), "the stream holds <html>sign in"),
    ],
)
async def test_what_is_no_stream_is_told_as_it_is(answer: Response, told: str) -> None:
    async with running(Scripted()) as server:
        result = await solve(server, [says(lambda *_: answer)] * 5, STREAMED)

    with pytest.raises(ModelCallError, match=told):
        result.raise_for_error()


async def test_a_whole_answer_where_a_stream_was_asked_for_is_taken() -> None:
    whole = says(lambda s, b: s.answer({**b, "stream": False}))
    async with running(Scripted()) as server:
        result = await solve(server, [whole], STREAMED)

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [1])


async def test_a_long_stream_is_not_looked_at_after_every_event() -> None:
    looks = 0

    def is_enough(_: Answer) -> bool:
        nonlocal looks
        looks += 1
        return False

    async def events() -> object:
        for _ in range(4000):
            yield {"choices": [{"text": " a", "finish_reason": None}]}
        yield {"choices": [{"text": "", "finish_reason": "stop"}]}

    answer = await read_stream(events(), is_chat=False, is_enough=is_enough)  # type: ignore[arg-type]

    assert answer.text == " a" * 4000
    assert looks < 150


def test_log_probabilities_that_are_none_are_left_out() -> None:
    reported = [{"token": "a", "logprob": one} for one in (1000.0, float("nan"), None, "x", -2.0)]

    entry = Entry(-1, "a", None, reported)

    assert entry.logprobs == [0.0, -2.0]


async def test_nonsense_within_an_answer_fails_or_is_done_without() -> None:
    def broken(part: Json) -> Misbehaviour:
        return says(
            lambda s, b: Response(
                json.dumps({"choices": [s.part(s.words(b), "stop", b)["choices"][0] | part]}),
                media_type="application/json",
            )
        )

    async with running(Scripted()) as server:
        ids = await solve(server, [broken({"token_ids": ["abc"]})])
        half = await solve(server, [broken({"text": "\ud83d"})])

    assert (ids.text, half.text) == (ANSWER, ANSWER)
    assert [call.attempts for call in half.calls] == [2]


def test_waits_that_are_no_numbers_are_not_waited() -> None:
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({"retry-after": "inf"}) is None


def test_a_text_too_long_is_recognised_by_its_code() -> None:
    body = {"message": "Requested tokens (1030) exceed", "code": "context_length_exceeded"}

    assert fault_of_status(400, body, {}).is_context
    assert issubclass(ContextOverflowError, Exception)


@pytest.mark.parametrize(
    ("written", "before", "joined"),
    [
        ("Step 7 is done.\n", "Step 6 is done.\n", "Step 6 is done.\nStep 7 is done.\n"),
        ("\no = 54", "c = 6", "c = 6\no = 54"),
        ("The next", "It is 5.", "It is 5. The next"),
        ("14", "it is 3.", "it is 3.14"),
        ("0000000000 and", "1 / 3 = 0.0000000000", "1 / 3 = 0.0000000000 0000000000 and"),
        ("so we add them up", "Here we add", "Here we add so we add them up"),
        ("we add them both up", "Here we add them", "Here we add them both up"),
        ("```\nx = 5", "Then", "Then x = 5"),
    ],
)
def test_a_quoted_continuation_is_joined_as_it_was_meant(
    written: str, before: str, joined: str
) -> None:
    assert before + cleaned(written, before) == joined


async def test_greedy_text_is_the_same_whoever_looks_at_it() -> None:
    async with running(Scripted()) as server, server.backend().connect() as model:
        async with model.open(VIEW, seed=0) as session:
            streamed = await session.generate(Until(40, stop_strings=("###",)), Sampling())

    assert streamed.text == ANSWER


def test_the_written_token_is_not_taken_for_one_of_the_likeliest() -> None:
    reported = {"b": -1.0, "a": -0.5, "written": -7.0}
    entry = Entry(3, "written", -7.0, reported)

    token = measured(entry, 3, "written", Signals(top_k=2))

    assert token.top == (Candidate(-1, "a", -0.5), Candidate(-1, "b", -1.0))


def test_candidates_that_are_named_by_id_get_their_texts_from_the_tokenizer() -> None:
    codec = TextCodec(load_tokenizer("lab/generator"), "lab/generator")
    (number,) = codec.splice((), " the").added[:1]
    entry = Entry(number, f"token_id:{number}", -0.5, {f"token_id:{number}": -0.5})

    token = measured(entry, number, codec.piece(number), Signals(top_k=1), codec)

    assert token.top == (Candidate(number, codec.piece(number), -0.5),)
