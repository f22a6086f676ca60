"""Runs: going on where they stopped, budgets, failures that belong to one problem."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.run_fakes import ADDER, adder_config, result_lines, rows_by_id, write_problems

from collab.errors import ConfigError, PluginError, ProblemFileError, RunDirectoryError
from collab.runs.config import RunConfig
from collab.runs.runner import Progress, RunSummary, run

NEVER: dict[str, Any] = {"policy": "never", "verifiers": []}
PRICED = {"use": ADDER, "price": {"prompt": 0, "completion": 1_000_000}}


async def test_a_row_holds_everything_about_its_problem(tmp_path: Path) -> None:
    config = adder_config(tmp_path, problems=1, **NEVER)

    await run(config)

    # "I add both. The answer is 3." has 9 pieces; "1 + 1 = " has 5; the end of the text is
    # decoded too, and written by nobody.
    assert result_lines(tmp_path / "out") == [
        {
            "id": "p1",
            "outcome": "wrong",
            "answer": "3",
            "reference": "2",
            "grader": "numeric",
            "found_by": "phrase",
            "compared_by": "number",
            "reason": "eos",
            "text": "I add both. The answer is 3.",
            "mentor_share": 0.0,
            "usage": {
                "generator": {
                    "calls": 1,
                    "estimated_calls": 0,
                    "prompt_tokens": 5,
                    "cached_tokens": 0,
                    "completion_tokens": 10,
                    "reasoning_tokens": 0,
                    "kept_tokens": 9,
                    "discarded_tokens": 1,
                    "cost_usd": 0.0,
                }
            },
            "cost_usd": 0.0,
            "error": None,
            "degradations": [],
            "attempt": 1,
            "spans": [
                {
                    "author": "generator",
                    "kind": "draft",
                    "tokens": 9,
                    "text": "I add both. The answer is 3.",
                }
            ],
            "decisions": [],
            "verdicts": [],
        }
    ]


async def test_times_are_kept_apart_by_what_they_were_spent_on(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, problems=1))

    row = json.loads((tmp_path / "out" / "results.jsonl").read_text())
    assert list(row["timing"]) == ["total_s", "generator_s", "mentor_s", "judge_s", "queue_s"]


async def test_decisions_and_verdicts_are_kept(tmp_path: Path) -> None:
    config = adder_config(tmp_path, problems=1, policy="always", segment_tokens=16)

    await run(config)

    row = result_lines(tmp_path / "out")[0]
    assert row["decisions"] == [{"unit": 0, "decision": "consult", "why": "always"}]
    assert row["verdicts"] == [
        {"stands": "mentor", "why": "always the mentor", "verifier": "AlwaysMentor"}
    ]
    assert (row["outcome"], row["mentor_share"]) == ("correct", 1.0)


async def test_the_ledger_adds_up_to_the_usage_of_the_row(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, problems=3))

    lines = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()
    calls = {one["id"]: one["calls"] for one in map(json.loads, lines)}
    for name, row in rows_by_id(tmp_path / "out").items():
        for field in ("completion_tokens", "kept_tokens", "prompt_tokens"):
            expected = sum(usage[field] for usage in row["usage"].values())
            assert sum(call[field] for call in calls[name]) == expected


async def test_rows_are_the_same_at_any_concurrency(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, concurrency=1, out=tmp_path / "one"))
    await run(adder_config(tmp_path, concurrency=7, out=tmp_path / "seven"))

    one = rows_by_id(tmp_path / "one")
    assert one == rows_by_id(tmp_path / "seven")
    # So that the comparison says something: both models wrote, and answers differ in outcome.
    assert {row["outcome"] for row in one.values()} == {"correct", "wrong"}


async def test_another_seed_gives_other_rows(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, seed=0, out=tmp_path / "zero"))
    await run(adder_config(tmp_path, seed=1, out=tmp_path / "one"))

    assert rows_by_id(tmp_path / "zero") != rows_by_id(tmp_path / "one")


async def test_a_finished_run_changes_no_byte_and_loads_no_model(tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    pair = {"generator": {"use": ADDER, "loaded": str(loaded)}}
    config = adder_config(tmp_path, pair=pair, **NEVER)
    first = await run(config)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    second = await run(config)

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert loaded.read_text() == "loaded\n"
    assert second.summary == first.summary
    assert (first.worked_on, second.worked_on) == (12, 0)


async def test_a_larger_limit_goes_on_with_the_same_rows(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, limit=5))
    part = (tmp_path / "out" / "results.jsonl").read_bytes()

    outcome = await run(adder_config(tmp_path))

    assert (outcome.worked_on, outcome.pending) == (7, 0)
    assert (tmp_path / "out" / "results.jsonl").read_bytes().startswith(part)
    await run(adder_config(tmp_path, out=tmp_path / "whole"))
    assert rows_by_id(tmp_path / "out") == rows_by_id(tmp_path / "whole")


async def test_a_torn_line_is_done_again(tmp_path: Path) -> None:
    config = adder_config(tmp_path, concurrency=1)
    await run(config)
    results = tmp_path / "out" / "results.jsonl"
    whole = rows_by_id(tmp_path / "out")
    results.write_bytes(results.read_bytes()[:-40])

    outcome = await run(config)

    assert outcome.worked_on == 1
    assert rows_by_id(tmp_path / "out") == whole


async def test_a_changed_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    await run(adder_config(tmp_path))
    results = (tmp_path / "out" / "results.jsonl").read_bytes()

    with pytest.raises(RunDirectoryError, match=r"policy\.rate: 0\.3 there, 0\.9 now"):
        await run(adder_config(tmp_path, policy={"use": "random", "rate": 0.9}))

    assert (tmp_path / "out" / "results.jsonl").read_bytes() == results


async def test_a_changed_problems_file_is_refused(tmp_path: Path) -> None:
    await run(adder_config(tmp_path))
    write_problems(tmp_path / "problems.jsonl", 13)

    with pytest.raises(RunDirectoryError, match=r"problems_sha256: "):
        await run(adder_config(tmp_path))


async def test_a_mistyped_plugin_leaves_the_directory_free(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"no policy 'randm'; did you mean 'random'\?"):
        await run(adder_config(tmp_path, policy="randm"))

    outcome = await run(adder_config(tmp_path))

    assert outcome.pending == 0


async def test_a_broken_line_is_an_error_row_and_the_others_run(tmp_path: Path) -> None:
    path = write_problems(tmp_path / "problems.jsonl", 2)
    path.write_text(path.read_text() + "{broken\n")

    outcome = await run(adder_config(tmp_path))

    rows = rows_by_id(tmp_path / "out")
    assert set(rows) == {"p1", "p2", "broken-line:3"}
    assert rows["broken-line:3"]["outcome"] == "error"
    assert rows["broken-line:3"]["error"]["type"] == "ProblemFileError"
    assert rows["broken-line:3"]["error"]["message"].startswith(
        "line 3 of the problems file: not JSON"
    )
    assert outcome.summary.outcomes["error"] == 1


async def test_broken_lines_alone_need_no_model(tmp_path: Path) -> None:
    path = write_problems(tmp_path / "problems.jsonl", 1)
    path.write_text(path.read_text() + "{broken\n")

    outcome = await run(adder_config(tmp_path, pair={"generator": "nowhere.py:None"}, offset=1))

    assert outcome.summary.outcomes["error"] == 1


async def test_duplicate_ids_are_refused(tmp_path: Path) -> None:
    path = write_problems(tmp_path / "problems.jsonl", 1)
    path.write_text(path.read_text() * 2)

    with pytest.raises(ProblemFileError, match=r"has the id 'p1' on lines 1 and 2"):
        await run(adder_config(tmp_path))


async def test_a_failing_problem_is_kept_with_its_error_and_stays_failed(tmp_path: Path) -> None:
    config = failing(tmp_path)
    await run(config)
    results = (tmp_path / "out" / "results.jsonl").read_bytes()

    again = await run(config)

    rows = rows_by_id(tmp_path / "out")
    assert rows["p2"]["error"] == {
        "type": "ModelCallError",
        "message": "call 1 of 'adder+1' failed as told",
    }
    assert [row["outcome"] for row in rows.values()] == ["wrong", "error", "wrong"]
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == results
    assert (again.worked_on, again.pending) == (0, 0)


async def test_errors_are_retried_on_request_and_the_newest_row_wins(tmp_path: Path) -> None:
    config = failing(tmp_path)
    await run(config)

    outcome = await run(config, is_retrying_errors=True)

    attempts = [
        (row["id"], row["outcome"], row["attempt"]) for row in result_lines(tmp_path / "out")
    ]
    # Only the second call of a loaded model fails, and the retry is its first.
    assert attempts == [
        ("p1", "wrong", 1),
        ("p2", "error", 1),
        ("p3", "wrong", 1),
        ("p2", "wrong", 2),
    ]
    assert outcome.summary.outcomes == {
        "correct": 0,
        "wrong": 3,
        "truncated": 0,
        "no_answer": 0,
        "error": 0,
        "ungraded": 0,
        "ungradable": 0,
    }
    # Three answers of 10 decoded tokens; the failed call decoded none.
    assert outcome.summary.usage["generator"].completion_tokens == 30
    assert outcome.summary.usage["generator"].calls == 4


async def test_a_reached_budget_stops_beginning_problems_and_a_larger_one_goes_on(
    tmp_path: Path,
) -> None:
    bounded = adder_config(tmp_path, concurrency=1, run_budget={"max_tokens": 25}, **NEVER)

    first = await run(bounded)
    second = await run(bounded)
    third = await run(adder_config(tmp_path, concurrency=1, **NEVER))

    # 10 tokens each: after the second problem 20 are spent, so the third begins.
    # Another may have begun by the time its row is written.
    assert first.budget_reached == "max_tokens"
    assert first.worked_on in (3, 4)
    assert (second.worked_on, second.budget_reached) == (0, "max_tokens")
    assert (third.worked_on, third.pending, third.budget_reached) == (12 - first.worked_on, 0, "")


@pytest.mark.parametrize("bound", ["max_mentor_tokens", "max_cost_usd"])
async def test_a_budget_of_nothing_begins_nothing(bound: str, tmp_path: Path) -> None:
    config = adder_config(tmp_path, pair={"generator": PRICED}, run_budget={bound: 0}, **NEVER)

    outcome = await run(config)

    assert (outcome.worked_on, outcome.budget_reached) == (0, bound)


async def test_a_budget_of_money_counts_prices(tmp_path: Path) -> None:
    config = adder_config(
        tmp_path,
        concurrency=1,
        pair={"generator": PRICED},
        run_budget={"max_cost_usd": 5},
        **NEVER,
    )

    outcome = await run(config)

    # A dollar per token, 10 tokens each: the first problem reaches the bound.
    assert outcome.budget_reached == "max_cost_usd"
    assert outcome.summary.cost_usd == 10.0 * outcome.worked_on


async def test_a_budget_that_the_last_problem_reaches_stopped_nothing(tmp_path: Path) -> None:
    config = adder_config(tmp_path, problems=1, run_budget={"max_tokens": 1}, **NEVER)

    outcome = await run(config)

    assert (outcome.pending, outcome.budget_reached) == (0, "")


async def test_progress_is_told_once_before_and_after_every_row(tmp_path: Path) -> None:
    told: list[Progress] = []
    config = adder_config(tmp_path, problems=2, concurrency=1, **NEVER)

    await run(config, on_progress=told.append)

    seen = [(one.row["id"] if one.row else None, one.done, one.total) for one in told]
    assert seen == [(None, 0, 2), ("p1", 1, 2), ("p2", 2, 2)]


async def test_the_summary_pools_tokens_over_all_answers(tmp_path: Path) -> None:
    outcome: RunSummary = await run(adder_config(tmp_path))

    rows = rows_by_id(tmp_path / "out").values()
    spans = [span for row in rows for span in row["spans"]]
    mentor = sum(span["tokens"] for span in spans if span["author"] == "mentor")
    assert outcome.summary.mentor_share == mentor / sum(span["tokens"] for span in spans)
    assert outcome.summary.graded == 12
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == outcome.summary.as_json()


@pytest.mark.parametrize("key", ["problems", "out"])
async def test_a_run_without_its_files_is_refused(tmp_path: Path, key: str) -> None:
    config = adder_config(tmp_path).model_copy(update={key: None})

    with pytest.raises(ConfigError, match=rf"a run needs {key}; give --{key} or the key in the"):
        await run(config)


def failing(folder: Path) -> RunConfig:
    pair = {"generator": {"use": ADDER, "error": 1, "fails_at": 1}}
    return adder_config(folder, problems=3, concurrency=1, pair=pair, **NEVER)


async def test_an_interrupted_run_keeps_what_unfinished_problems_cost(tmp_path: Path) -> None:
    config = adder_config(tmp_path, policy="always", concurrency=6)

    def interrupt(progress: Progress) -> None:
        if progress.row is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(config, on_progress=interrupt)
    lines = (tmp_path / "out" / "abandoned.jsonl").read_text().splitlines()
    given_up = [json.loads(line) for line in lines]
    finished = result_lines(tmp_path / "out")
    resumed = await run(config)

    assert given_up
    assert {row["id"] for row in given_up}.isdisjoint(row["id"] for row in finished)
    rows = [*result_lines(tmp_path / "out"), *given_up]
    spent = sum(row["usage"].get("mentor", {}).get("completion_tokens", 0) for row in rows)
    assert resumed.summary.usage["mentor"].completion_tokens == spent
