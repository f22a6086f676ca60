"""The run directory: durable rows, torn lines, locks, other configurations, full disks."""

import json
import os
from pathlib import Path

import pytest

from collab.errors import RunDirectoryError
from collab.runs.rows import Row
from collab.runs.run_files import read_rows
from collab.runs.store import RunStore

COMPARED: Row = {"seed": 1, "policy": {"use": "random", "rate": 0.5}}
VERSIONS: Row = {"collab": "1"}


def open_store(folder: Path, compared: Row = COMPARED, versions: Row = VERSIONS) -> RunStore:
    return RunStore(folder, compared, versions)


def row(name: str, outcome: str = "correct", attempt: int = 1) -> Row:
    counts: Row = {"calls": 1, "completion_tokens": 10, "kept_tokens": 9}
    return {
        "id": name,
        "outcome": outcome,
        "attempt": attempt,
        "usage": {"generator": counts},
        "spans": [{"author": "generator", "kind": "draft", "tokens": 9, "text": "x"}],
    }


def fill(folder: Path, *names: str) -> None:
    with open_store(folder) as store:
        store.begin()
        for name in names:
            store.add(row(name), {"id": name, "attempt": 1, "calls": []})


def test_a_row_is_on_disk_when_add_returns(tmp_path: Path) -> None:
    with open_store(tmp_path / "new" / "out") as store:
        store.begin()
        store.add(row("a"), {"id": "a", "calls": []})

        lines = (tmp_path / "new" / "out" / "results.jsonl").read_text().splitlines()
        ledger = (tmp_path / "new" / "out" / "ledger.jsonl").read_text().splitlines()

    assert [json.loads(line) for line in lines] == [row("a")]
    assert ledger == ['{"id": "a", "calls": []}']


def test_rows_are_there_again_after_reopening(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")

    with open_store(tmp_path) as store:
        assert store.rows == {"a": row("a"), "b": row("b")}


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    for name in ("results.jsonl", "ledger.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"id": "b", "outco')

    fill(tmp_path, "c")

    assert read_rows(tmp_path) == {"a": row("a"), "c": row("c")}
    ledger = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in ledger] == ["a", "c"]


def test_a_whole_line_without_its_newline_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(row("b")))

    assert list(read_rows(tmp_path)) == ["a"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('garbage\n{"id": "b"}\n')

    with pytest.raises(
        RunDirectoryError, match=r"results\.jsonl is damaged on line 2: .*; remove that line"
    ):
        open_store(tmp_path).__enter__()


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"id": "b"}\n')

    with pytest.raises(RunDirectoryError, match=r"damaged on line 2: it is not a row of results"):
        read_rows(tmp_path)


def test_the_newest_row_of_a_problem_counts_and_all_attempts_were_paid(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.begin()
        store.add(row("a", "error"))
        store.add(row("a", "correct", attempt=2))

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["outcomes"]["correct"] == 1
    assert summary["outcomes"]["error"] == 0
    # Two attempts of 10 tokens; the answer that stands has one span.
    assert summary["usage"]["generator"]["completion_tokens"] == 20
    assert read_rows(tmp_path)["a"]["attempt"] == 2


def test_another_configuration_is_refused_with_every_difference(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    other: Row = {"seed": 2, "policy": {"use": "random", "rate": 0.9}}

    with pytest.raises(RunDirectoryError) as raised:
        open_store(tmp_path, other).__enter__()

    assert str(raised.value) == (
        f"{tmp_path} holds a run of another configuration:\n"
        "  policy.rate: 0.5 there, 0.9 now\n"
        "  seed: 1 there, 2 now\n"
        "use another directory, or go back to the configuration it was begun with"
    )


def test_other_versions_are_recorded_and_not_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a")

    with open_store(tmp_path, versions={"collab": "2"}) as store:
        store.begin()

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["versions"] == [{"collab": "1"}, {"collab": "2"}]


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": 99}')

    with pytest.raises(RunDirectoryError, match=r"has the format 99, this version of collab read"):
        open_store(tmp_path).__enter__()


def test_results_without_their_configuration_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    (tmp_path / "config.json").unlink()

    with pytest.raises(RunDirectoryError, match=r"has results but no config\.json"):
        open_store(tmp_path).__enter__()


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(RunDirectoryError, match=r"config\.json cannot be read"):
        open_store(tmp_path).__enter__()


def test_nothing_is_recorded_before_the_run_begins(tmp_path: Path) -> None:
    with open_store(tmp_path):
        pass

    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock"]


def test_a_second_driver_is_refused_and_may_come_later(tmp_path: Path) -> None:
    with (
        open_store(tmp_path),
        pytest.raises(
            RunDirectoryError, match=rf"is in use by the process {os.getpid()}; wait for it to end"
        ),
    ):
        open_store(tmp_path).__enter__()

    with open_store(tmp_path) as store:
        assert store.rows == {}


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunDirectoryError, match=r"cannot use .*file as run directory"):
        open_store(tmp_path / "file").__enter__()


def test_a_full_disk_leaves_no_half_line_and_says_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A mock: no real disk here can be filled. The first part of the line is written for real.
    fill(tmp_path, "a")
    results = (tmp_path / "results.jsonl").read_bytes()
    write = os.write

    def write_until_full(file: int, content: bytes) -> int:
        if len(content) > 10 and content.startswith(b"{"):
            return write(file, content[:10])
        raise OSError(28, "No space left on device")

    with open_store(tmp_path) as store:
        monkeypatch.setattr(os, "write", write_until_full)
        with pytest.raises(
            RunDirectoryError,
            match=r"results\.jsonl: No space left on device; 1 finished problems are safely on",
        ):
            store.add(row("b"))
        monkeypatch.undo()

    assert (tmp_path / "results.jsonl").read_bytes() == results


def test_a_summary_that_cannot_be_written_hides_no_other_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A mock: a disk that is full for all files at once.
    def refuse(file: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    fill(tmp_path, "a")

    with pytest.raises(KeyError, match="first"), open_store(tmp_path):
        monkeypatch.setattr(os, "write", refuse)
        raise KeyError("first")


def test_a_ledger_whose_row_was_never_written_is_dropped(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"id": "b", "attempt": 1, "calls": []}\n')

    fill(tmp_path, "b")

    ledger = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in ledger] == ["a", "b"]


def test_what_given_up_problems_cost_stays_and_counts(tmp_path: Path) -> None:
    given_up: Row = {"id": "b", "usage": {"generator": {"completion_tokens": 5}}, "calls": []}
    fill(tmp_path, "a")
    with open_store(tmp_path) as store:
        store.note_abandoned(given_up)

    with open_store(tmp_path) as store:
        assert store.abandoned == [given_up]
        assert not store.has_finished("b")
        # 10 of the row, 5 of what was given up
        assert store.summary.usage["generator"].completion_tokens == 15


def test_a_key_that_an_earlier_version_did_not_have_counts_as_its_default(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.begin()

    with open_store(tmp_path, COMPARED | {"grader": "auto"}):
        pass
    with pytest.raises(RunDirectoryError, match='grader: "auto" there, "exact" now'):
        open_store(tmp_path, COMPARED | {"grader": "exact"}).__enter__()
