"""Damaged run directories are named by file and line; links in them lead nowhere."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from collab.durable_files import append_line, make_folder, replace_file
from collab.errors import RunDirectoryError
from collab.runs.rows import Row
from collab.runs.run_files import read_rows
from collab.runs.store import RunStore

COMPARED: Row = {"seed": 1}
VERSIONS: Row = {"collab": "1"}
ROW: dict[str, Any] = {
    "id": "a",
    "outcome": "correct",
    "attempt": 1,
    "usage": {"generator": {"calls": 1, "completion_tokens": 10}},
    "spans": [{"author": "generator", "kind": "draft", "tokens": 9, "text": "x"}],
}
GENERATOR = {"generator": {"calls": 1}}


def opened(folder: Path) -> None:
    with RunStore(folder, COMPARED, VERSIONS):
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "out"
    with RunStore(place, COMPARED, VERSIONS) as store:
        store.begin()
        store.add(ROW, {"id": "a", "attempt": 1, "calls": []})
    return place


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": 7}, "id: Input should be a valid string"),
        ({"outcome": "splendid"}, "outcome: Input should be 'correct', 'wrong'"),
        ({"attempt": "1"}, "attempt: Input should be a valid integer"),
        ({"attempt": 0}, "attempt: Input should be greater than or equal to 1"),
        ({"usage": []}, "usage: Input should be a valid dictionary"),
        ({"usage": {"generator": 3}}, "usage.generator: Input should be a valid dictionary"),
        ({"usage": {"generator": {"calls": "many"}}}, "usage.generator.calls: Input should be a v"),
        ({"usage": {"generator": {"calls": 10**300}}}, "usage.generator.calls: Input should be "),
        ({"usage": {"generator": {"magic": 1}}}, r"Value error, unknown count 'magic'"),
        ({"spans": None}, "spans: Input should be a valid list"),
        ({"spans": ["x"]}, "spans.0: Input should be a valid dictionary"),
        ({"spans": [ROW["spans"][0] | {"tokens": -1}]}, "spans.0.tokens: Input should be greater"),
        (
            {"spans": [ROW["spans"][0] | {"kind": "rumour"}]},
            "spans.0.kind: Input should be 'draft'",
        ),
    ],
)
def test_a_row_that_holds_something_else_is_named_by_its_line(
    folder: Path, changed: dict[str, object], why: str
) -> None:
    append_line(folder / "results.jsonl", json.dumps(ROW | {"id": "b"} | changed).encode())

    with pytest.raises(RunDirectoryError, match=rf"results\.jsonl is damaged on line 2: .*{why}"):
        opened(folder)
    with pytest.raises(RunDirectoryError, match="damaged on line 2"):
        read_rows(folder)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"id": ' + b"9" * 5_000 + b"}",
        b'{"id": NaN}',
        b"\xff\xfe{}",
        b"\0" * 20,
        b"",
        b"[]",
    ],
)
def test_a_line_that_is_no_object_is_named(folder: Path, line: bytes) -> None:
    append_line(folder / "results.jsonl", line)

    with pytest.raises(RunDirectoryError, match=r"results\.jsonl is damaged on line 2: .*; remove"):
        opened(folder)


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"id": [], "attempt": {}}', b"\xff", b"null"])
def test_a_last_line_of_the_ledger_that_belongs_to_no_row_is_dropped(
    folder: Path, line: bytes
) -> None:
    before = (folder / "ledger.jsonl").read_bytes()
    append_line(folder / "ledger.jsonl", line)

    opened(folder)

    assert (folder / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", [b"{}", b'{"id": "b", "usage": {"generator": 1}, "calls": []}'])
def test_damage_to_what_was_given_up_is_named(folder: Path, line: bytes) -> None:
    append_line(folder / "abandoned.jsonl", line)

    with pytest.raises(RunDirectoryError, match=r"abandoned\.jsonl is damaged on line 1"):
        opened(folder)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("[" * 100_000, r"config\.json cannot be read"),
        ("7", r"config\.json is damaged: expected a JSON object"),
        ('{"format": 1, "seed": 1, "versions": {}}', "its `versions` are not as they were written"),
        ('{"format": 1, "seed": 1, "versions": [3]}', "its `versions` are not as they were writt"),
        (
            '{"format": 1, "seed": 1, "versions": [{"prices": {"mentor": {"magic": "1"}}}]}',
            "its `versions` are not as they were written",
        ),
    ],
)
def test_a_damaged_configuration_is_named(folder: Path, config: str, why: str) -> None:
    (folder / "config.json").write_text(config)

    with pytest.raises(RunDirectoryError, match=why):
        opened(folder)


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["lock", "results.jsonl", "ledger.jsonl", "abandoned.jsonl", "config.json"]
)
def test_nothing_is_read_or_written_through_a_link(folder: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(mine)

    with pytest.raises(RunDirectoryError, match="it is a symbolic link; put the file itself there"):
        opened(folder)
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("name", ["lock", "results.jsonl", "ledger.jsonl", "abandoned.jsonl"])
def test_a_file_with_a_second_name_elsewhere_is_left_alone(
    folder: Path, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious\nwithout an end")
    (folder / name).unlink(missing_ok=True)
    os.link(mine, folder / name)

    with pytest.raises(RunDirectoryError, match=r"has another name elsewhere \(a hard link\)"):
        opened(folder)
    assert mine.read_text() == "precious\nwithout an end"


@pytest.mark.parametrize("name", ["summary.json", ".summary.json.new", ".config.json.new"])
def test_a_link_in_the_place_of_a_replaced_file_is_replaced_itself(
    folder: Path, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(mine)

    with RunStore(folder, COMPARED, {"collab": "2"}) as store:
        store.begin()

    assert mine.read_text() == "precious"
    assert not (folder / "summary.json").is_symlink()
    assert not (folder / "config.json").is_symlink()


def test_a_link_that_appears_while_a_run_works_is_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    with RunStore(folder, COMPARED, VERSIONS) as store:
        (folder / "results.jsonl").unlink()
        (folder / "results.jsonl").symlink_to(mine)

        with pytest.raises(RunDirectoryError, match="it is a symbolic link; .* 1 finished problem"):
            store.add(ROW | {"id": "b"})

    assert mine.read_text() == "precious"


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(folder: Path) -> None:
    (folder / "results.jsonl").unlink()
    os.mkfifo(folder / "results.jsonl")

    with pytest.raises(RunDirectoryError, match="it is not a regular file; remove it"):
        opened(folder)


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "states").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NotADirectoryError, match="it is not a folder"):
        make_folder(tmp_path / "states")


def test_a_draft_that_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.json.new").write_text("half")

    replace_file(tmp_path / "a.json", b"whole")

    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
