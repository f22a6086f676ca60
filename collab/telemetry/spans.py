"""Traces and metrics for OpenTelemetry, where it is installed and the application set it up.

A span per problem, under it a span per model call, with the counts of the ledger. Texts, keys and
messages of errors are never in them. The API alone is imported, never the SDK: without a provider
it drops everything, and without the package nothing is done at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from collab.seam import Service
from collab.telemetry import names
from collab.usage import Call, Purpose

try:
    from opentelemetry import metrics, trace
except ImportError:  # the extra `otel` is not installed
    metrics = trace = None  # type: ignore[assignment]  # tested for below

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]

_SCOPE = "collab"
_IN_PROCESS = "collab"
"""The provider of models that no server is asked for."""

_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is known of a call before it begins.

    Attributes:
        role: Who is called.
        model: The model's name.
        purpose: What for.
        service: The server that is asked; `None` for a model in this process.
        max_tokens: Most tokens wanted, if there is a bound.
        temperature: Of sampling, if anything is sampled.
    """

    role: str
    model: str
    purpose: Purpose
    service: Service | None = None
    max_tokens: int | None = None
    temperature: float | None = None

    @property
    def name(self) -> str:
        """Name of its span."""
        common = self.common
        return f"{common[names.OPERATION_NAME]} {common[names.REQUEST_MODEL]}"

    @property
    def common(self) -> dict[str, str]:
        """Attributes of its span and of its metrics."""
        service = self.service or Service("text_completion", _IN_PROCESS, self.model)
        return {
            names.OPERATION_NAME: service.operation,
            names.PROVIDER_NAME: service.provider,
            names.REQUEST_MODEL: service.model,
            names.ROLE: self.role,
        }


class Emitter:
    """Emits through one tracer and one meter."""

    def __init__(self, tracer: "trace.Tracer", meter: "metrics.Meter") -> None:
        self.tracer = tracer
        self.tokens = meter.create_histogram(
            names.CLIENT_TOKEN_USAGE,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDARIES,
        )
        self.duration = meter.create_histogram(
            names.CLIENT_OPERATION_DURATION,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=names.DURATION_BOUNDARIES,
        )


class CallSpan:
    """A call that is being traced; one that is never ended is never seen."""

    def __init__(self, emitter: Emitter, asked: Asked) -> None:
        self._emitter = emitter
        self._asked = asked
        kind = trace.SpanKind.CLIENT if asked.service else trace.SpanKind.INTERNAL
        self.span = emitter.tracer.start_span(asked.name, kind=kind, attributes=asked.common)

    def annotate(self, attributes: Attributes) -> None:
        """Add what became known."""
        if self.span.is_recording():
            self.span.set_attributes(
                {
                    key: value[:_LONGEST_TEXT] if isinstance(value, str) else value
                    for key, value in attributes.items()
                }
            )

    def end(self, call: Call, error: str) -> None:
        """End it with the ledger's record; `error` is the kind of what was raised, or empty."""
        asked, common = self._asked, self._asked.common
        failed = {names.ERROR_TYPE: error} if error else {}
        if self.span.is_recording():
            request = {
                names.REQUEST_MAX_TOKENS: asked.max_tokens,
                names.REQUEST_TEMPERATURE: asked.temperature,
                names.CALL_COST_USD: call.cost_usd,
            }
            self.span.set_attributes({k: v for k, v in request.items() if v is not None})
            self.span.set_attributes({**_counted(call), **failed})
            if call.outcome == "failed":
                self.span.set_status(trace.StatusCode.ERROR, error)
        self.span.end()
        for kind, count in (("input", call.prompt_tokens), ("output", call.completion_tokens)):
            self._emitter.tokens.record(count, common | {names.TOKEN_TYPE: kind})
        self._emitter.duration.record(call.total_s, common | failed)


_EMITTER = None if trace is None else Emitter(trace.get_tracer(_SCOPE), metrics.get_meter(_SCOPE))
_CALL: ContextVar[CallSpan | None] = ContextVar("collab_call", default=None)


@contextmanager
def traced_call(asked: Asked) -> Iterator[CallSpan | None]:
    """Make a span for a call the current one; yield what ends it, `None` without OpenTelemetry."""
    if _EMITTER is None:
        yield None
        return
    call = CallSpan(_EMITTER, asked)
    token = _CALL.set(call)
    try:
        with trace.use_span(call.span, record_exception=False, set_status_on_exception=False):
            yield call
    finally:
        _CALL.reset(token)


def annotate_call(attributes: Attributes) -> None:
    """Add to the span of the call that is being made, if one is: for backends.

    Never give it a text that was sent or written, nor a key.
    """
    if (call := _CALL.get()) is not None:
        call.annotate(attributes)


class ProblemSpan:
    """A problem that is being traced."""

    def __init__(self, span: "trace.Span | None") -> None:
        self._span = span

    def tell(self, reason: str, error: Exception | None, mentor_share: float) -> None:
        """Say how it ended."""
        if self._span is None or not self._span.is_recording():
            return
        self._span.set_attributes({names.PROBLEM_REASON: reason, names.MENTOR_SHARE: mentor_share})
        if error is not None:
            kind = type(error).__name__
            self._span.set_attribute(names.ERROR_TYPE, kind)
            self._span.set_status(trace.StatusCode.ERROR, kind)


@contextmanager
def traced_problem(problem: str, recipe: str) -> Iterator[ProblemSpan]:
    """Make a span for a problem the current one; yield what takes how it ended.

    Args:
        problem: Its id.
        recipe: The recipe's name.
    """
    if _EMITTER is None:
        yield ProblemSpan(None)
        return
    attributes = {
        names.OPERATION_NAME: names.INVOKE_WORKFLOW,
        names.WORKFLOW_NAME: recipe,
        names.PROBLEM_ID: problem,
    }
    with _EMITTER.tracer.start_as_current_span(
        f"{names.INVOKE_WORKFLOW} {recipe}".rstrip(),
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield ProblemSpan(span)


def _counted(call: Call) -> Attributes:
    return {
        names.PURPOSE: call.purpose,
        names.CALL_INDEX: call.index,
        names.CALL_OUTCOME: call.outcome,
        names.CALL_ATTEMPTS: call.attempts,
        names.CALL_IS_ESTIMATED: call.is_estimated,
        names.USAGE_INPUT_TOKENS: call.prompt_tokens,
        names.USAGE_OUTPUT_TOKENS: call.completion_tokens,
        names.USAGE_CACHE_READ_INPUT_TOKENS: call.cached_tokens,
        names.USAGE_REASONING_OUTPUT_TOKENS: call.reasoning_tokens,
    }
