"""Configurations and run directories of the version before still load, and go on."""

import json
import shutil
from pathlib import Path

import pytest
from support.cli_helpers import invoke

from collab.runs.rows import Row
from collab.runs.run_files import read_rows

OLDER = Path(__file__).parents[1] / "data" / "older_runs"
SAME = ("text", "reason", "outcome", "spans", "decisions", "verdicts", "mentor_share", "usage")


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "older"
    shutil.copytree(OLDER, folder)
    monkeypatch.chdir(folder)
    return folder


def name_of(row: Row) -> str:
    return str(row["id"])


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.mark.parametrize("name", ["named", "composed"])
def test_a_finished_run_is_recognised_and_left_as_it_is(older: Path, name: str) -> None:
    results = older / f"out-{name}" / "results.jsonl"
    before = results.read_text(encoding="utf-8")

    done = invoke("run", f"{name}.yaml", "--out", f"out-{name}")

    assert done.exit_code == 0, done.output
    assert results.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("name", ["named", "composed"])
def test_a_run_that_was_killed_goes_on_and_writes_the_same(older: Path, name: str) -> None:
    folder = older / f"out-{name}"
    whole = {row["id"]: row for row in map(json.loads, lines_of(folder / "results.jsonl"))}
    lost: Row = json.loads(lines_of(folder / "results.jsonl")[-1])
    for file in ("results.jsonl", "ledger.jsonl"):
        kept = [one for one in lines_of(folder / file) if json.loads(one)["id"] != lost["id"]]
        (folder / file).write_text("".join(kept), encoding="utf-8")

    done = invoke("run", f"{name}.yaml", "--out", f"out-{name}")

    assert done.exit_code == 0, done.output
    rows = read_rows(folder)
    assert set(rows) == set(whole)
    for key in SAME:
        assert rows[name_of(lost)][key] == whole[name_of(lost)][key], key
