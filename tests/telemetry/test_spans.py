"""Spans and metrics: their counts are the ledger's, and no text is in them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import JSONResponse, Response
from support.plugins import KeepsDraft
from support.servers import Json, Scripted, running

from collab import Budget, Controller, Problem, Recipe, Result
from collab.telemetry import names
from collab.telemetry.spans import Emitter
from collab.testing import FakeBackend, FakeModel
from collab.trace import Verified
from collab_policies.agreement import Agreement
from collab_policies.always import Always
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions

SECRET = "sk-very-secret"
PROMPT = "a question nobody may see"


@dataclass
class Seen:
    """What was exported."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    @property
    def problems(self) -> list[ReadableSpan]:
        return [one for one in self.exporter.get_finished_spans() if _is_problem(one)]

    @property
    def calls(self) -> list[ReadableSpan]:
        """Those of calls, in the order of the ledger."""
        spans = [one for one in self.exporter.get_finished_spans() if not _is_problem(one)]
        return sorted(spans, key=lambda span: attributes(span)[names.CALL_INDEX])

    @property
    def points(self) -> dict[str, list[HistogramDataPoint]]:
        found = self.reader.get_metrics_data()
        assert isinstance(found, MetricsData)
        metrics = found.resource_metrics[0].scope_metrics[0].metrics
        return {one.name: list(one.data.data_points) for one in metrics}  # type: ignore[arg-type]  # all are histograms

    def sums(self, name: str, **wanted: str) -> float:
        """Return what a metric adds up to, over points with these attributes."""
        return sum(
            point.sum
            for point in self.points[name]
            if all((point.attributes or {}).get(key) == value for key, value in wanted.items())
        )


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _is_problem(span: ReadableSpan) -> bool:
    return span.name.startswith(names.INVOKE_WORKFLOW)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Emit to memory; not through the global providers, which can be set only once."""
    seen = Seen()
    tracers, meters = TracerProvider(), MeterProvider([seen.reader])
    tracers.add_span_processor(SimpleSpanProcessor(seen.exporter))
    emitter = Emitter(tracers.get_tracer("test"), meters.get_meter("test"))
    monkeypatch.setattr("collab.telemetry.spans._EMITTER", emitter)
    yield seen
    tracers.shutdown()
    meters.shutdown()


def assert_as_in_the_ledger(seen: Seen, result: Result) -> None:
    told = [
        (
            one[names.CALL_INDEX],
            one[names.ROLE],
            one[names.PURPOSE],
            one[names.USAGE_INPUT_TOKENS],
            one[names.USAGE_CACHE_READ_INPUT_TOKENS],
            one[names.USAGE_OUTPUT_TOKENS],
            one[names.USAGE_REASONING_OUTPUT_TOKENS],
            one[names.CALL_OUTCOME],
            one[names.CALL_ATTEMPTS],
        )
        for one in map(attributes, seen.calls)
    ]
    assert told == [
        (
            call.index,
            call.role,
            call.purpose,
            call.prompt_tokens,
            call.cached_tokens,
            call.completion_tokens,
            call.reasoning_tokens,
            call.outcome,
            call.attempts,
        )
        for call in result.calls
    ]


def everything_said(seen: Seen) -> str:
    spans = "".join(span.to_json() for span in seen.exporter.get_finished_spans())
    return spans + repr(seen.reader.get_metrics_data())


async def test_spans_have_the_counts_of_the_ledger_and_stand_under_their_problem(
    seen: Seen,
) -> None:
    async with Controller(
        generator=FakeBackend(model=FakeModel("a b c d e f")),
        mentor=FakeBackend(model=FakeModel("a b x d e f")),
        recipe=Recipe(name="mine", policy=RandomPositions(rate=0.5), verifiers=(Agreement(),)),
    ) as controller:
        result = await controller.solve(Problem(id="p7", prompt=PROMPT))

    (problem,) = seen.problems
    assert problem.name == "invoke_workflow mine"
    assert attributes(problem)[names.PROBLEM_ID] == "p7"
    assert attributes(problem)[names.PROBLEM_REASON] == result.reason
    assert attributes(problem)[names.MENTOR_SHARE] == result.mentor_share
    assert {call.role for call in result.calls} == {"generator", "mentor"}
    assert_as_in_the_ledger(seen, result)
    assert all(span.parent == problem.context for span in seen.calls)
    assert {(span.name, span.kind) for span in seen.calls} == {
        ("text_completion fake", SpanKind.INTERNAL)
    }
    assert attributes(seen.calls[0])[names.REQUEST_MAX_TOKENS] == 64
    assert PROMPT not in everything_said(seen)


async def test_metrics_add_up_to_the_ledger(seen: Seen) -> None:
    backend = FakeBackend(model=FakeModel("a b c d e f"))
    async with Controller(
        generator=backend, mentor=backend, recipe=Recipe(policy=Always(), verifiers=(Agreement(),))
    ) as controller:
        results = [await controller.solve("one"), await controller.solve("two")]

    for role in ("generator", "mentor"):
        usages = [result.usage[role] for result in results]
        by_role = {names.ROLE: role}
        for kind, count in (
            ("input", sum(usage.prompt_tokens for usage in usages)),
            ("output", sum(usage.completion_tokens for usage in usages)),
        ):
            wanted = by_role | {names.TOKEN_TYPE: kind}
            assert seen.sums(names.CLIENT_TOKEN_USAGE, **wanted) == count
        spent = seen.sums(names.CLIENT_OPERATION_DURATION, **by_role)
        assert spent == pytest.approx(sum(usage.model_s for usage in usages))


async def test_what_was_answered_without_the_model_is_no_call(seen: Seen) -> None:
    backend = FakeBackend(model=FakeModel("a b c d e f"))
    async with Controller(
        generator=backend, mentor=backend, recipe=Recipe(policy=Always(), verifiers=(KeepsDraft(),))
    ) as controller:
        result = await controller.solve("q")

    consultations = sum(isinstance(event, Verified) for event in result.events)
    assert result.usage["mentor"].calls < consultations
    assert_as_in_the_ledger(seen, result)


async def test_a_failed_call_says_what_kind_of_error_it_was_and_nothing_of_its_text(
    seen: Seen,
) -> None:
    backend = FakeBackend(model=FakeModel("a b", fails_at=0))
    async with Controller(generator=backend, recipe=Recipe(policy=Never())) as controller:
        result = await controller.solve("q")

    (call,), (problem,) = seen.calls, seen.problems
    assert_as_in_the_ledger(seen, result)
    for span in (call, problem):
        assert attributes(span)[names.ERROR_TYPE] == "ModelCallError"
        assert span.status.status_code == StatusCode.ERROR
        assert not span.events
    assert "failed as told" not in everything_said(seen)
    wanted = {names.ERROR_TYPE: "ModelCallError"}
    assert seen.sums(names.CLIENT_OPERATION_DURATION, **wanted) == result.calls[0].total_s


async def test_a_cancelled_call_is_marked(seen: Seen) -> None:
    backend = FakeBackend(model=FakeModel("a b", is_stuck=True))
    async with Controller(
        generator=backend, recipe=Recipe(policy=Never()), budget=Budget(deadline_s=0.05)
    ) as controller:
        result = await controller.solve("q")

    (call,) = seen.calls
    assert_as_in_the_ledger(seen, result)
    assert attributes(call)[names.CALL_OUTCOME] == "cancelled"
    assert attributes(call)[names.ERROR_TYPE] == "CancelledError"
    assert call.status.status_code == StatusCode.UNSET
    assert attributes(seen.problems[0])[names.PROBLEM_REASON] == "budget"


async def answered(server: Scripted, asked: Json) -> Response:
    """Answer as hosted servers do, with a name and counts."""
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 24},
    }
    origin = {"id": "cmpl-1", "model": "m-2026"}
    body = origin | server.part(server.words(asked), "stop", asked) | {"usage": usage}
    return JSONResponse(body)


@pytest.mark.parametrize(("mode", "operation"), [("text", "text_completion"), ("quoted", "chat")])
async def test_a_servers_calls_name_it(
    mode: str, operation: str, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    async with running(Scripted(owner="vllm")) as server:
        backend = server.backend(
            mode=mode, name="mine", price={"prompt": 1, "cached": 0, "completion": 2}
        )
        recipe = Recipe(policy=Never(), max_answer_tokens=20)
        async with Controller(generator=backend, recipe=recipe) as controller:
            server.faults.append(answered)
            result = await controller.solve(PROMPT)

    (call,) = seen.calls
    told = attributes(call)
    assert (call.name, call.kind) == (f"{operation} m", SpanKind.CLIENT)
    assert_as_in_the_ledger(seen, result)
    expected = {
        names.OPERATION_NAME: operation,
        names.PROVIDER_NAME: "vllm",
        names.REQUEST_MODEL: "m",
        names.REQUEST_MAX_TOKENS: 20,
        names.REQUEST_TEMPERATURE: 0.0,
        names.RESPONSE_ID: "cmpl-1",
        names.RESPONSE_MODEL: "m-2026",
        names.RESPONSE_FINISH_REASONS: ("stop",),
        names.SERVER_ADDRESS: "127.0.0.1",
        names.SERVER_PORT: server.port,
        names.USAGE_INPUT_TOKENS: 50,
        names.USAGE_CACHE_READ_INPUT_TOKENS: 40,
        names.USAGE_REASONING_OUTPUT_TOKENS: 24,
        names.CALL_COST_USD: 70 / 1e6,
    }
    assert {key: told[key] for key in expected} == expected
    said = everything_said(seen)
    assert SECRET not in said
    assert PROMPT not in said
    assert " one two" not in said


async def test_a_server_that_refuses_is_named_too(seen: Seen) -> None:
    async def refuse(server: Scripted, asked: Json) -> Response:
        return JSONResponse({"error": {"message": f"bad key {SECRET}"}}, 401)

    async with running(Scripted()) as server:
        recipe = Recipe(policy=Never(), max_answer_tokens=20)
        async with Controller(generator=server.backend(), recipe=recipe) as controller:
            server.faults.append(refuse)
            await controller.solve(PROMPT)

    told = attributes(seen.calls[0])
    assert (told[names.SERVER_PORT], told[names.ERROR_TYPE]) == (server.port, "ModelCallError")
    assert told[names.PROVIDER_NAME] == "openai"
    assert SECRET not in everything_said(seen)


async def test_problems_side_by_side_keep_their_calls_apart(seen: Seen) -> None:
    backend = FakeBackend(model=FakeModel("a b c d"))
    async with Controller(
        generator=backend, mentor=backend, recipe=Recipe(policy=Always(), verifiers=(Agreement(),))
    ) as controller:
        async with controller.map([f"q{n}" for n in range(6)], concurrency=6) as results:
            found = {one.problem.id: one async for one in results}

    for problem in seen.problems:
        under = [span for span in seen.calls if span.parent == problem.context]
        assert len(under) == len(found[attributes(problem)[names.PROBLEM_ID]].calls)


SCRIPT = """
import json, sys
if "blocked" in sys.argv:
    sys.modules["opentelemetry"] = None
import anyio
from collab import Controller, Recipe
from collab.testing import FakeBackend, FakeModel
from collab_policies.never import Never

async def solve():
    recipe = Recipe(policy=Never())
    async with Controller(generator=FakeBackend(model=FakeModel("a b")), recipe=recipe) as one:
        return await one.solve("q")

assert anyio.run(solve).text == "a b"
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
seen = []
if "provided" in sys.argv:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    anyio.run(solve)
    seen = [span.name for span in exporter.get_finished_spans()]
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "spans"),
    [
        ("blocked", []),
        ("nobody", []),
        # What was solved before there was a provider is not among them.
        ("provided", ["text_completion fake", "invoke_workflow custom"]),
    ],
)
def test_nothing_is_emitted_without_a_provider(way: str, spans: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, way],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == spans
