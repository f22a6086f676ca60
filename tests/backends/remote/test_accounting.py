"""What calls cost, as servers count it or as it is estimated."""

import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import structlog
from starlette.responses import JSONResponse, Response, StreamingResponse
from structlog.testing import capture_logs
from support.run_fakes import write_problems
from support.servers import Json, Misbehaviour, Scripted, running, sse

from collab import Budget, Controller, Recipe, Result
from collab.proposals import Sampling, Until
from collab.runs.config_files import parse_config
from collab.runs.runner import run
from collab.usage import Call, Price
from collab.views import View, ViewOptions
from collab_backends.remote.model import RemoteModel
from collab_backends.remote.paid import parse_paid
from collab_policies.never import Never

THINKING = {
    "prompt_tokens": 50,
    "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 24},
}


@pytest.fixture
def logs_configured() -> Iterator[None]:
    structlog.configure()
    yield
    structlog.reset_defaults()


def counting(usage: object) -> Misbehaviour:
    """Answer as asked, with other counts."""

    async def misbehave(server: Scripted, asked: Json) -> Response:
        whole = server.part(server.words(asked), "stop", asked)
        if asked.get("stream"):
            return StreamingResponse(sse([whole, {"choices": [], "usage": usage}, "[DONE]"]))
        return JSONResponse({**whole, "usage": usage})

    return misbehave


def refusing(status: int) -> Misbehaviour:
    async def misbehave(server: Scripted, asked: Json) -> Response:
        return JSONResponse({"error": {"message": "no"}}, status)

    return misbehave


async def cut(server: Scripted, asked: Json) -> Response:
    """Write two words of a stream and leave."""
    return StreamingResponse(
        sse([server.part([" one"], "", asked), server.part([" b"], "", asked)])
    )


async def stuck(server: Scripted, asked: Json) -> Response:
    """Write two words of a stream and nothing more."""

    async def events() -> object:
        async for event in sse([server.part([" one"], "", asked), server.part([" b"], "", asked)]):
            yield event
        await anyio.sleep_forever()

    return StreamingResponse(events())  # type: ignore[arg-type]


async def solve(*faults: Misbehaviour, is_streamed: bool = False, **options: object) -> Result:
    """Solve one problem with the server alone; its prompt is one token to the server."""
    budget = options.pop("budget", Budget())
    assert isinstance(budget, Budget)
    stops = ("###",) if is_streamed else ()
    async with running(Scripted()) as server:
        longest = 64 if is_streamed else 20
        recipe = Recipe(policy=Never(), max_answer_tokens=longest, stop_strings=stops)
        async with Controller(
            generator=server.backend(**options),
            recipe=recipe,
            budget=budget,
        ) as controller:
            server.faults += faults
            return await controller.solve("two words")


async def only_call(*faults: Misbehaviour, is_streamed: bool = False) -> Call:
    (call,) = (await solve(*faults, is_streamed=is_streamed)).calls
    return call


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_reasoning_is_part_of_what_was_written_and_the_servers_words_are_kept(
    is_streamed: bool,
) -> None:
    call = await only_call(counting(THINKING), is_streamed=is_streamed)

    assert (call.prompt_tokens, call.cached_tokens, call.fresh_tokens) == (50, 40, 10)
    assert (call.completion_tokens, call.reasoning_tokens, call.visible_tokens) == (30, 24, 6)
    assert call.raw_usage == (THINKING,)
    assert not call.is_estimated


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 8, "reasoning_tokens": 7}, (9, 0, 8, 7)),
        ({"prompt_tokens": 9, "completion_tokens": 8, "prompt_cache_hit_tokens": 7}, (9, 7, 8, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 8, "prompt_tokens_details": None}, (9, 0, 8, 0)),
    ],
)
async def test_other_ways_to_say_it_are_read(usage: Json, counts: tuple[int, ...]) -> None:
    call = await only_call(counting(usage))

    assert (
        call.prompt_tokens,
        call.cached_tokens,
        call.completion_tokens,
        call.reasoning_tokens,
    ) == counts
    assert not call.is_estimated


PLAIN = {"prompt_tokens": 9, "completion_tokens": 8}


@pytest.mark.parametrize(
    ("usage", "counts", "told"),
    [
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": 10}}, (9, 9, 8, 0), "10 cached of 9"),
        ({**PLAIN, "reasoning_tokens": 12}, (9, 0, 8, 8), "12 reasoning of 8 completion tokens"),
        # What is no count was not said: 2 words of a prompt, 6 of an answer.
        ({**PLAIN, "prompt_tokens": -9}, (2, 0, 8, 0), "-9 prompt tokens"),
        ({**PLAIN, "completion_tokens": 8.5}, (9, 0, 6, 0), "8.5 completion tokens"),
        ({**PLAIN, "completion_tokens": True}, (9, 0, 6, 0), "True completion tokens"),
        ({**PLAIN, "prompt_tokens": "9"}, (2, 0, 8, 0), "'9' prompt tokens"),
        ({**PLAIN, "prompt_tokens": 10**400}, (2, 0, 8, 0), "1000000"),
        ({**PLAIN, "reasoning_tokens": -1}, (9, 0, 8, 0), "-1 reasoning tokens"),
        ({**PLAIN, "prompt_cache_hit_tokens": [1]}, (9, 0, 8, 0), "[1] cached tokens"),
    ],
)
async def test_counts_that_cannot_be_are_mended_marked_and_told(
    usage: Json, counts: tuple[int, ...], told: str, logs_configured: None
) -> None:
    with capture_logs() as logs:
        call = await only_call(counting(usage))

    assert (
        call.prompt_tokens,
        call.cached_tokens,
        call.completion_tokens,
        call.reasoning_tokens,
    ) == counts
    assert call.is_estimated
    (event,) = [one for one in logs if one["event"] == "remote.usage_contradicted"]
    assert told in event["what"][0]


def test_a_number_that_json_does_not_know_is_kept_by_its_name() -> None:
    paid = parse_paid({"prompt_tokens": 1, "completion_tokens": 2, "cost": float("nan")})

    assert paid.raw == {"prompt_tokens": 1, "completion_tokens": 2, "cost": "NaN"}


async def test_reasoning_that_is_counted_beside_the_completion_is_paid_for() -> None:
    apart = {
        "prompt_tokens": 9,
        "completion_tokens": 9,
        "total_tokens": 318,
        "completion_tokens_details": {"reasoning_tokens": 300},
    }
    call = await only_call(counting(apart))

    assert (call.completion_tokens, call.reasoning_tokens, call.visible_tokens) == (309, 300, 9)
    assert not call.is_estimated


@pytest.mark.parametrize("total", [18, 317, None, "318"])
async def test_reasoning_beyond_the_completion_is_odd_unless_the_total_counts_both(
    total: object,
) -> None:
    odd = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": total}
    call = await only_call(counting({**odd, "reasoning_tokens": 300}))

    assert (call.completion_tokens, call.reasoning_tokens, call.is_estimated) == (9, 9, True)


async def test_a_prompt_of_which_the_server_counts_too_little_is_noticed(
    logs_configured: None,
) -> None:
    recipe = Recipe(policy=Never(), max_answer_tokens=20)
    async with running(Scripted()) as server:
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            server.faults.append(counting({"prompt_tokens": 30, "completion_tokens": 6}))
            with capture_logs() as logs:
                result = await controller.solve("word " * 5_000)
        async with server.backend().connect() as model:
            assert isinstance(model, RemoteModel)
            diagnosis = await model.diagnose(View("mentor", "word " * 50, ViewOptions()))

    (call,) = result.calls
    assert (call.prompt_tokens, call.is_estimated) == (30, True)
    (event,) = [one for one in logs if one["event"] == "remote.usage_contradicted"]
    told = "30 prompt tokens for a prompt of 5,000 words: the server cuts prompts off"
    assert told in event["what"][0]
    assert "1 prompt tokens for a prompt of 50 words" in diagnosis.notes[-1]


@pytest.mark.parametrize("usage", [None, [], 5, "many", {}])
async def test_counts_of_another_shape_were_not_said(usage: object) -> None:
    call = await only_call(counting(usage))

    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == (2, 6, True)
    assert call.raw_usage == ()


async def test_only_calls_without_counts_are_marked_as_estimated() -> None:
    view = View("mentor", "q", ViewOptions(template="raw"))
    async with running(Scripted()) as server, server.backend().connect() as model:
        async with model.open(view, seed=0) as session:
            server.faults.append(counting(None))
            marks = []
            for count in (1, 2, 3):
                before = session.meter.estimates
                await session.generate(Until(count), Sampling())
                marks.append(session.meter.estimates - before)

    assert marks == [1, 0, 0]


@pytest.mark.parametrize(
    ("fault", "is_streamed", "spent"),
    [
        # Refused at once: only the second attempt, which the server counts as 1 and 6.
        pytest.param(refusing(429), False, (1, 6, False), id="429"),
        pytest.param(refusing(503), False, (1, 6, False), id="503"),
        # The server may have worked on it: 2 words of the prompt more.
        pytest.param(refusing(500), False, (3, 6, True), id="500"),
        # Streams of the scripted server have no counts: 2 and 2, then 2 and 6 words.
        pytest.param(cut, True, (4, 8, True), id="a stream that is cut"),
    ],
)
async def test_an_attempt_that_failed_is_counted_with_what_it_can_have_cost(
    fault: Misbehaviour, is_streamed: bool, spent: tuple[int, int, bool]
) -> None:
    call = await only_call(fault, is_streamed=is_streamed)

    assert call.attempts == 2
    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == spent


async def test_a_call_that_fails_for_good_is_counted() -> None:
    result = await solve(*[refusing(500)] * 3)

    (call,) = result.calls
    assert (call.outcome, call.attempts) == ("failed", 3)
    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == (6, 0, True)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_answers_that_ended_for_an_unknown_reason_were_paid_as_their_server_says(
    is_streamed: bool,
) -> None:
    async def gives_up(server: Scripted, asked: Json) -> Response:
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        whole = server.part(server.words(asked)[:3], "insufficient_system_resource", asked)
        if asked.get("stream"):
            return StreamingResponse(sse([whole, {"choices": [], "usage": usage}, "[DONE]"]))
        return JSONResponse({**whole, "usage": usage})

    result = await solve(*[gives_up] * 3, is_streamed=is_streamed)

    (call,) = result.calls
    # three attempts of 9 and 3
    assert (call.outcome, call.attempts) == ("failed", 3)
    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == (27, 9, False)
    assert len(call.raw_usage) == 3


async def test_a_cancelled_call_is_counted_with_what_was_heard_of_its_answer() -> None:
    result = await solve(stuck, is_streamed=True, budget=Budget(deadline_s=0.4))

    (call,) = result.calls
    assert (call.outcome, call.attempts) == ("cancelled", 1)
    assert (call.prompt_tokens, call.completion_tokens, call.is_estimated) == (2, 2, True)
    assert call.first_token_s is not None


async def test_the_costs_of_ledger_row_and_summary_are_the_same(tmp_path: Path) -> None:
    async with running(Scripted()) as server:
        backend = server.backend(price={"prompt": 0.3, "cached": 0.1, "completion": 1.7})
        options = json.loads(backend.model_dump_json(exclude_defaults=True))
        config = parse_config(
            {
                "pair": {"generator": {"use": "openai", **options}},
                "policy": "never",
                "problems": str(write_problems(tmp_path / "problems.jsonl", 4)),
                "out": str(tmp_path / "out"),
                "concurrency": 1,
            },
            "test",
        )

        async def always_thinking(scripted: Scripted, asked: Json) -> Response:
            scripted.faults.append(always_thinking)
            if asked["max_tokens"] == 1:  # the handshake
                return scripted.answer(asked)
            return await counting(THINKING)(scripted, asked)

        server.faults.append(always_thinking)
        outcome = await run(config)

    lines = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()
    calls = [call for line in lines for call in json.loads(line)["calls"]]
    rows = [
        json.loads(one) for one in (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    ]
    # 10 fresh at 0.3, 40 cached at 0.1, 30 written at 1.7, per million.
    assert calls[0]["cost_usd"] == Price(prompt=0.3, cached=0.1, completion=1.7).of(
        prompt=50, cached=40, completion=30
    )
    assert calls[0]["cost_usd"] == pytest.approx((3 + 4 + 51) / 1e6)
    assert calls[0]["raw_usage"] == [THINKING]
    spent = sum(call["cost_usd"] for call in calls)
    assert spent == pytest.approx(sum(row["cost_usd"] for row in rows))
    assert spent == pytest.approx(outcome.summary.cost_usd)
    assert outcome.summary.usage["generator"].reasoning_tokens == 24 * len(calls)
