"""Rows: one finished problem as the JSON object that a run directory keeps.

Everything under the key `timing` may differ between two equal runs, and what a server counts: its
own words under `raw_usage`, and how much it had cached. Nothing else does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite

from pydantic import JsonValue

from collab.controller import Result
from collab.decisions import Decision
from collab.grading import Extraction, Grade, Grader, grade
from collab.problems import BrokenLine
from collab.texts import shortened
from collab.trace import Decided, Span, TraceEvent, Verified
from collab.usage import Call, Usage

Row = dict[str, JsonValue]

_LONGEST_MESSAGE = 2_000
_JUDGING = frozenset({"judge", "score"})


def result_row(
    result: Result,
    *,
    extraction: Extraction = "marked",
    grader: Grader = "auto",
    attempt: int = 1,
) -> Row:
    """Return the row of a problem that was worked on; `attempt` counts from 1.

    With the grader `math-verify` this can take seconds.
    """
    graded = _grade(result, extraction, grader)
    error = result.error
    return {
        "id": result.problem.id,
        "outcome": graded.outcome,
        "answer": graded.answer,
        "reference": result.problem.answer,
        "grader": graded.grader,
        "found_by": graded.found_by,
        "compared_by": graded.compared_by,
        "reason": str(result.ending),
        "text": result.text,
        "mentor_share": result.mentor_share,
        "usage": {role: _usage(usage) for role, usage in result.usage.items()},
        "cost_usd": result.cost_usd,
        "error": _error(error) if error else None,
        "degradations": list(result.degradations),
        "attempt": attempt,
        "spans": [_span(span) for span in result.spans],
        "decisions": list(_decisions(result.events)),
        "verdicts": list(_verdicts(result.events)),
        "timing": _timing(result),
    }


def broken_line_row(line: BrokenLine) -> Row:
    """Return the row of a line of the problems file that is no problem."""
    message = f"line {line.line} of the problems file: {line.why}"
    return {
        "id": line.id,
        "outcome": "error",
        "answer": None,
        "reference": None,
        "grader": None,
        "found_by": None,
        "compared_by": None,
        "reason": "error",
        "text": "",
        "mentor_share": 0.0,
        "usage": {},
        "cost_usd": 0.0,
        "error": {"type": "ProblemFileError", "message": message},
        "degradations": [],
        "attempt": 1,
        "spans": [],
        "decisions": [],
        "verdicts": [],
        "timing": {},
    }


def ledger_row(result: Result, *, attempt: int = 1) -> Row:
    """Return the calls of one problem."""
    return {
        "id": result.problem.id,
        "attempt": attempt,
        "calls": [_call(call) for call in result.calls],
    }


def abandoned_row(result: Result) -> Row:
    """Return what a problem has cost that was given up: it has no outcome, only calls."""
    return {
        "id": result.problem.id,
        "usage": {role: _usage(usage) for role, usage in result.usage.items()},
        "cost_usd": result.cost_usd,
        "calls": [_call(call) for call in result.calls],
    }


def usage_of(row: Mapping[str, JsonValue]) -> dict[str, Usage]:
    """Return a row's usage by role, without its times."""
    usage = row["usage"]
    assert isinstance(usage, dict), "rows are written by this module"
    return {role: Usage(**counts) for role, counts in usage.items()}  # type: ignore[arg-type]  # as written by `_usage`


def grade_of(row: Mapping[str, JsonValue]) -> Grade:
    """Return a row's grade; rows from before its rules were kept have none."""
    names = ("outcome", "answer", "grader", "found_by", "compared_by")
    return Grade(**{name: row.get(name) for name in names})  # type: ignore[arg-type]  # as written above


def _grade(result: Result, extraction: Extraction, grader: Grader) -> Grade:
    if result.error is not None:
        return Grade("error", None)
    return grade(
        result.text,
        reference=result.problem.answer,
        reason=result.reason,
        extraction=extraction,
        grader=grader,
        thinking=result.thinking,
    )


def _error(error: Exception) -> JsonValue:
    return {"type": type(error).__name__, "message": shortened(str(error), _LONGEST_MESSAGE)}


def _usage(usage: Usage) -> JsonValue:
    return {name: count for name, count in asdict(usage).items() if name != "model_s"}


def _span(span: Span) -> JsonValue:
    row: dict[str, JsonValue] = {
        "author": span.author,
        "kind": span.kind,
        "tokens": span.tokens,
        "text": span.text,
    }
    if span.visible_to is not None:
        row["visible_to"] = [*sorted(span.visible_to)]
    return row


def _decisions(events: Iterable[TraceEvent]) -> Iterable[JsonValue]:
    for event in events:
        if isinstance(event, Decided):
            decision: Decision = event.decision
            yield _compact(
                {
                    "unit": event.unit,
                    "decision": type(decision).__name__.lower(),
                    "why": decision.why,
                    "signal": _rounded(decision.signal),
                }
            )


def _verdicts(events: Iterable[TraceEvent]) -> Iterable[JsonValue]:
    for event in events:
        if isinstance(event, Verified):
            verdict = event.verdict
            yield _compact(
                {
                    "stands": verdict.stands or "nobody",
                    "upto": verdict.upto,
                    "score": _rounded(verdict.score),
                    "why": verdict.why,
                    "verifier": event.verifier,
                }
            )


def _compact(row: Row) -> JsonValue:
    return {key: value for key, value in row.items() if value not in (None, "")}


def _rounded(number: float | None) -> float | None:
    """Return a measured number to four digits, and `None` for what JSON has no word for.

    The last digits depend on what else a model computed in the same batch.
    """
    return float(f"{number:.4g}") if number is not None and isfinite(number) else None


def _call(call: Call) -> JsonValue:
    times = ("queue_wait_s", "first_token_s", "total_s")
    fields: Row = asdict(call)
    return {key: value for key, value in fields.items() if key not in times} | {
        "timing": {name: fields[name] for name in times}
    }


def _timing(result: Result) -> JsonValue:
    """Return the problem's wall-clock time, and the time of its calls by what they were for.

    Calls overlap, so the parts can exceed the total.
    """
    parts = {"generator_s": 0.0, "mentor_s": 0.0, "judge_s": 0.0}
    for call in result.calls:
        writer = "generator_s" if call.role == "generator" else "mentor_s"
        parts["judge_s" if call.purpose in _JUDGING else writer] += call.total_s
    queue_s = sum(call.queue_wait_s for call in result.calls)
    return {"total_s": result.duration_s, **parts, "queue_s": queue_s}
