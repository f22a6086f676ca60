"""Rows: what is kept of a result."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from collab.controller import Result
from collab.decisions import Consult
from collab.endings import Ending
from collab.grading import Grade
from collab.problems import BrokenLine, Problem
from collab.runs.rows import Row, broken_line_row, grade_of, ledger_row, result_row, usage_of
from collab.trace import Decided, Span, TraceEvent, Verified
from collab.usage import Call, Usage
from collab.verdicts import Verdict
from collab.views import ThinkingTags


def result(
    *, events: Sequence[TraceEvent] = (), calls: Sequence[Call] = (), spans: Sequence[Span] = ()
) -> Result:
    problem = Problem(id="p", prompt="q")
    return Result(problem, Ending("eos"), spans, events, calls, duration_s=2.0)


@pytest.mark.parametrize(
    ("measured", "kept"), [(0.123456, 0.1235), (0.12345600001, 0.1235), (-31.41592, -31.42)]
)
def test_signals_and_scores_are_kept_to_four_digits(measured: float, kept: float) -> None:
    events: list[TraceEvent] = [
        Decided(Consult(signal=measured), "x", 3),
        Verified(Verdict("mentor", upto=2, score=measured), "Judge", ()),
    ]

    row = result_row(result(events=events))

    assert row["decisions"] == [{"unit": 3, "decision": "consult", "signal": kept}]
    assert row["verdicts"] == [{"stands": "mentor", "upto": 2, "score": kept, "verifier": "Judge"}]


def test_a_number_that_json_does_not_know_is_left_out() -> None:
    events = [Decided(Consult(signal=float("nan")), "x", 0)]

    assert result_row(result(events=events))["decisions"] == [{"unit": 0, "decision": "consult"}]


def test_a_verdict_for_nobody_says_so() -> None:
    events = [Verified(Verdict(""), "Judge", ())]

    assert result_row(result(events=events))["verdicts"] == [
        {"stands": "nobody", "verifier": "Judge"}
    ]


def test_a_hidden_span_says_who_sees_it() -> None:
    span = Span(0, "policy:P", "hint", 0, "injection", frozenset({"mentor", "generator"}))

    row = result_row(result(spans=[span]))

    assert row["text"] == ""
    assert row["spans"] == [
        {
            "author": "policy:P",
            "kind": "injection",
            "tokens": 0,
            "text": "hint",
            "visible_to": ["generator", "mentor"],
        }
    ]


def test_times_are_summed_by_what_calls_were_for() -> None:
    calls = [
        Call(0, "generator", "g", "draft", total_s=1.0, queue_wait_s=0.25),
        Call(1, "generator", "g", "judge", total_s=2.0),
        Call(2, "mentor", "m", "consult", total_s=4.0, queue_wait_s=0.5),
        Call(3, "second", "s", "score", total_s=8.0),
    ]

    row = result_row(result(calls=calls))

    assert row["timing"] == {
        "total_s": 2.0,
        "generator_s": 1.0,
        "mentor_s": 4.0,
        "judge_s": 10.0,
        "queue_s": 0.75,
    }


def test_usage_is_read_back_without_its_times() -> None:
    call = Call(0, "mentor", "m", "consult", completion_tokens=5, kept_tokens=3, total_s=1.0)

    usage = usage_of(result_row(result(calls=[call])))

    assert usage == {
        "mentor": Usage(calls=1, completion_tokens=5, kept_tokens=3, discarded_tokens=2)
    }


def test_usage_of_a_row_from_before_a_count_was_kept_has_none_of_it() -> None:
    old: Row = {"usage": {"mentor": {"calls": 1, "completion_tokens": 5}}}

    assert usage_of(old) == {"mentor": Usage(calls=1, completion_tokens=5, reasoning_tokens=0)}


def test_the_ledger_keeps_what_a_server_said() -> None:
    call = Call(0, "mentor", "m", "consult", raw_usage=({"prompt_tokens": 3},))

    row = ledger_row(result(calls=[call]))

    assert json.loads(json.dumps(row))["calls"][0]["raw_usage"] == [{"prompt_tokens": 3}]


def test_the_ledger_keeps_the_times_of_a_call_apart() -> None:
    call = Call(0, "mentor", "m", "consult", total_s=1.0, first_token_s=0.5)

    row = ledger_row(result(calls=[call]), attempt=2)

    assert (row["id"], row["attempt"]) == ("p", 2)
    assert isinstance(row["calls"], list)
    assert isinstance(row["calls"][0], dict)
    assert row["calls"][0]["timing"] == {
        "queue_wait_s": 0.0,
        "first_token_s": 0.5,
        "total_s": 1.0,
    }
    assert "total_s" not in row["calls"][0]


def test_a_broken_line_has_the_keys_of_any_other_row() -> None:
    broken = broken_line_row(BrokenLine(7, "not JSON"))

    assert list(broken) == list(result_row(result()))
    assert broken["error"] == {
        "type": "ProblemFileError",
        "message": "line 7 of the problems file: not JSON",
    }


def test_a_message_of_megabytes_is_kept_in_part() -> None:
    failed = replace(result(), error=ValueError("x" * 50_000))

    error = result_row(failed)["error"]

    assert error == {"type": "ValueError", "message": "x" * 2_000 + " … (50,000 characters)"}


def test_the_grade_of_a_row_is_read_back_with_its_rules() -> None:
    problem = Problem(id="p", prompt="q", answer="5")
    span = Span(0, "generator", "The answer is 5.", 4, "draft")
    row = result_row(Result(problem, Ending("eos"), [span], (), (), duration_s=2.0))

    kept = json.loads(json.dumps(row))

    assert (kept["found_by"], kept["compared_by"]) == ("phrase", "number")
    assert grade_of(kept) == Grade("correct", "5", "numeric", "phrase", "number")


def test_a_row_from_before_the_rules_were_kept_has_none() -> None:
    old: Row = {"id": "p", "outcome": "wrong", "answer": "4", "grader": "numeric"}

    assert grade_of(old) == Grade("wrong", "4", "numeric")


def test_what_is_thought_between_the_writers_own_tags_is_no_answer() -> None:
    problem = Problem(id="p", prompt="q", answer="6")
    span = Span(0, "generator", "[T]The answer is 6.[/T]I cannot say.", 9, "draft")
    tags = ThinkingTags(opening="[T]", closing="[/T]")

    row = result_row(Result(problem, Ending("eos"), [span], (), (), duration_s=2.0, thinking=tags))

    assert (row["outcome"], row["answer"]) == ("no_answer", None)
