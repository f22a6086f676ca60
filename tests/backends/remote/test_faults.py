"""What networks and servers do: each is typed, tried again where that can help, and ledgered."""

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from support.servers import Json, Misbehaviour, Scripted, listening, running, says, status

from collab import Budget, Controller, Problem, Recipe, Result
from collab.errors import ContextOverflowError, ModelCallError, ModelLoadError
from collab.proposals import Until
from collab.testing import FakeBackend, FakeModel
from collab_backends.remote.backend import OpenAIServer
from collab_backends.remote.patience import Patience
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never

ANSWER = " one two three four five six"


async def stall(server: Scripted, asked: Json) -> Response:
    await anyio.sleep_forever()
    raise AssertionError("for ever")


async def drip(server: Scripted, asked: Json) -> Response:
    async def bytes_one_by_one() -> object:
        while True:
            await anyio.sleep(0.2)
            yield b" "

    return StreamingResponse(bytes_one_by_one())  # type: ignore[arg-type]


def no_usage(server: Scripted, asked: Json) -> Response:
    return JSONResponse(server.part(server.words(asked), "stop", asked))


async def solve(server: Scripted, *faults: Misbehaviour, **options: object) -> Result:
    """Solve one problem with the server alone; the faults meet the first requests."""
    async with Controller(
        generator=server.backend(**options), recipe=Recipe(policy=Never(), max_answer_tokens=20)
    ) as controller:
        server.asked.clear()
        server.faults += faults
        return await controller.solve("q")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(429, "slow down", **{"retry-after": "0"}), id="429, retry after"),
        pytest.param(status(429, "slow down"), id="429"),
        pytest.param(status(500, "oops"), id="500"),
        pytest.param(status(503, "queue is full"), id="503"),
        pytest.param(says(lambda *_: HTMLResponse("<html>", 502)), id="502 with HTML"),
        pytest.param(says(lambda *_: HTMLResponse("<html>hello")), id="200 with HTML"),
        pytest.param(says(lambda *_: JSONResponse({"choices": []})), id="no choices"),
        pytest.param(
            says(lambda *_: JSONResponse({"error": {"message": "busy", "code": 503}})),
            id="200 with an error",
        ),
        pytest.param(
            says(lambda *_: Response('{"choices": [{"te', media_type="application/json")),
            id="truncated JSON",
        ),
        pytest.param(
            says(lambda s, b: JSONResponse(s.part(s.words(b), "", b))), id="no finish reason"
        ),
        pytest.param(stall, id="stall"),
        pytest.param(drip, id="one byte at a time, for ever"),
    ],
)
async def test_a_passing_fault_is_tried_again_and_every_attempt_is_counted(
    fault: Misbehaviour, request: pytest.FixtureRequest
) -> None:
    async with running(Scripted()) as server:
        result = await solve(server, fault)

    assert (result.text, result.error) == (ANSWER, None)
    assert [call.attempts for call in result.calls] == [2]
    # Only the whole answer that does not say why it ended tells its tokens, which were paid, too.
    has_counts = request.node.callspec.id == "no finish reason"
    assert result.usage["generator"].completion_tokens == (12 if has_counts else 6)


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (status(401, "bad key sk-secret-1"), ModelCallError, r"refused the key \(status 401\)"),
        (status(404, "no model"), ModelCallError, r"does not know the path or the model"),
        (status(400, "maximum context length is 8"), ContextOverflowError, "the text is too long"),
        (status(422, "that is unknown"), ModelCallError, "status 422: that is unknown"),
        (
            says(
                lambda *_: Response(status_code=307, headers={"location": "http://example.invalid"})
            ),
            ModelCallError,
            "redirects elsewhere",
        ),
    ],
)
async def test_what_cannot_pass_is_not_tried_again(
    fault: Misbehaviour, kind: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1")
    async with running(Scripted()) as server:
        result = await solve(server, fault)
        asked = len(server.asked)

    with pytest.raises(kind, match=told) as raised:
        result.raise_for_error()
    assert asked == 1
    assert "sk-secret-1" not in str(raised.value)
    assert [call.outcome for call in result.calls] == ["failed"]


async def test_a_fault_that_stays_fails_its_problem_alone() -> None:
    async def choosy(server: Scripted, asked: Json) -> Response:
        server.faults.append(choosy)
        if "bad" in asked["prompt"]:
            return JSONResponse({"error": {"message": "oops"}}, 500)
        return server.answer(asked)

    async with running(Scripted()) as server:
        controller = Controller(generator=server.backend(), recipe=Recipe(policy=Never()))
        async with controller:
            server.faults.append(choosy)
            problems = [Problem(id=name, prompt=name) for name in ("a", "bad", "c", "d")]
            async with controller.map(problems, concurrency=4) as results:
                found = {result.problem.id: result async for result in results}

    assert [found[name].error is None for name in ("a", "bad", "c", "d")] == [
        True,
        False,
        True,
        True,
    ]
    assert found["bad"].calls[0].attempts == 3
    with pytest.raises(ModelCallError, match="status 500: oops"):
        found["bad"].raise_for_error()


async def test_missing_counts_are_estimated_and_marked() -> None:
    async with running(Scripted()) as server:
        result = await solve(server, says(no_usage))

    (call,) = result.calls
    assert (call.completion_tokens, call.is_estimated) == (6, True)


async def test_an_outage_of_the_mentor_leaves_the_text_as_it_stood() -> None:
    async with running(Scripted()) as server:
        async with Controller(
            generator=FakeBackend(model=FakeModel("a b c")),
            mentor=server.backend(),
            recipe=Recipe(policy=Always(), verifiers=(AlwaysMentor(),)),
        ) as controller:
            server.faults += [status(500, "down")] * 3
            result = await controller.solve("q")

    assert (result.text, result.reason) == ("", "error")


async def test_a_deadline_cancels_the_call_and_the_ledger_says_so() -> None:
    async with running(Scripted()) as server:
        backend = server.backend(patience=Patience())
        async with Controller(
            generator=backend, recipe=Recipe(policy=Never()), budget=Budget(deadline_s=0.3)
        ) as controller:
            server.faults.append(stall)
            result = await controller.solve("q")

    assert str(result.ending) == "budget: deadline_s"
    assert [call.outcome for call in result.calls] == ["cancelled"]


async def test_a_server_that_is_not_there_is_told_by_its_url() -> None:
    async with running(Scripted()) as server:
        backend = server.backend()

    told = f"{server.url} cannot be used: 127.0.0.1:{server.port}: .* cannot be connected to"
    with pytest.raises(ModelLoadError, match=told):
        async with backend.connect():
            pass


async def test_a_connection_closed_in_the_middle_is_tried_again() -> None:
    body = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"cho'
    async with running(Scripted()) as server, listening(body) as broken:
        backend = OpenAIServer(
            model="m",
            base_url=(server.url, f"http://127.0.0.1:{broken}/v1"),
            mode="text",
            patience=Patience(attempts=2, attempt_s=2, call_s=5),
        )
        async with Controller(
            generator=backend, recipe=Recipe(policy=Never(), max_answer_tokens=20)
        ) as controller:
            async with controller.map([f"q{n}" for n in range(8)], concurrency=2) as results:
                found = [result async for result in results]

    # Problems that begin at the broken server are answered by the other one.
    assert all(result.text == ANSWER for result in found)
    attempts = {result.calls[0].attempts for result in found}
    assert 1 in attempts
    assert max(attempts) in (2, 3)


def model_named(name: str) -> Misbehaviour:
    return says(
        lambda s, b: JSONResponse({**s.part(s.words(b), "stop", b), "model": name, "usage": {}})
    )


async def test_another_model_than_before_is_never_taken_for_the_same() -> None:
    async with running(Scripted()) as server:
        async with Controller(
            generator=server.backend(), recipe=Recipe(policy=Never(), max_answer_tokens=20)
        ) as controller:
            server.faults += [model_named("m-2026"), *[model_named("m-mini")] * 3]
            first, second = [await controller.solve(name) for name in ("a", "b")]

    assert first.error is None
    with pytest.raises(ModelCallError, match="the model 'm-mini' answered, where 'm-2026' had"):
        second.raise_for_error()
    assert [call.attempts for call in second.calls] == [3]


async def test_a_text_that_grew_too_long_ends_its_problem_alone_with_what_there_is() -> None:
    async def full(server: Scripted, asked: Json) -> Response:
        server.faults.append(full)
        if "long" in asked["prompt"] and "two" in asked["prompt"]:
            message = "This model's maximum context length is 8 tokens"
            return JSONResponse({"error": {"message": message}}, 400)
        return server.answer(asked)

    async with running(Scripted()) as server:
        recipe = Recipe(policy=Always(), verifiers=(AlwaysMentor(),), segment=Until(2))
        async with Controller(
            generator=FakeBackend(model=FakeModel("a b c d e f g h")),
            mentor=server.backend(),
            recipe=recipe,
        ) as controller:
            server.faults.append(full)
            async with controller.map(["long", "short"], concurrency=2) as results:
                found = {result.problem.prompt: result async for result in results}

    assert found["short"].text == ANSWER
    assert (found["long"].text, found["long"].reason) == (" one two", "error")
    with pytest.raises(ContextOverflowError, match="maximum context length is 8"):
        found["long"].raise_for_error()
    assert [call.outcome for call in found["long"].calls if call.role == "mentor"] == [
        "ok",
        "failed",
    ]


async def test_an_answer_that_comes_after_the_deadline_is_not_waited_for() -> None:
    late = anyio.Event()

    async def too_late(server: Scripted, asked: Json) -> Response:
        await late.wait()
        return server.answer(asked)

    async with running(Scripted()) as server:
        result = await solve(server, too_late)
        late.set()

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [2])


async def test_an_answer_that_comes_byte_by_byte_is_the_same_answer() -> None:
    async def in_bytes(server: Scripted, asked: Json) -> Response:
        whole = bytes(server.answer(asked).body)

        async def one_by_one() -> AsyncIterator[bytes]:
            for number in range(len(whole)):
                yield whole[number : number + 1]

        return StreamingResponse(one_by_one(), media_type="application/json")

    async with running(Scripted()) as server:
        result = await solve(server, in_bytes)

    assert (result.text, [call.attempts for call in result.calls]) == (ANSWER, [1])
