"""Rows from CSV, Parquet and data sets: what is read, and what one broken row does."""

import json
import re
import sys
from pathlib import Path

import pytest

from collab.errors import ProblemFileError
from collab.problems import BrokenLine, Problem, read_problems
from collab.problems.sources import ProblemSource


def source(path: object, **options: object) -> ProblemSource:
    return ProblemSource.model_validate({"source": str(path), **options})


def problems(where: ProblemSource | Path) -> list[Problem]:
    read = list(read_problems(where))
    assert all(isinstance(one, Problem) for one in read), read
    return [one for one in read if isinstance(one, Problem)]


# --- CSV --------------------------------------------------------------------------------------


def test_a_csv_file_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    path.write_text('id,prompt,answer\na,"2 + 2, or\nso?",4\n\nb,3?,\n', newline="")

    assert problems(path) == [
        Problem(id="a", prompt="2 + 2, or\nso?", answer="4"),
        Problem(id="b", prompt="3?", answer=None),
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"b,x", "2 cells under 3 column names"),
        (b"b,x,4,5", "4 cells under 3 column names"),
        (b"b,\xff,4", "not UTF-8"),
        (b'b,"x"y,4', "not CSV: .* expected after .*, begun on line 3"),
        (b"b,,4", "prompt: expected a text or a list of messages, found None"),
    ],
)
def test_a_broken_row_of_a_csv_file_does_not_take_the_others_along(
    row: bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "problems.csv"
    path.write_bytes(b"\xef\xbb\xbfid,prompt,answer\r\na,x,1\r\n" + row + b"\r\nc,y,2\r\n")

    first, broken, last = read_problems(path)

    assert isinstance(broken, BrokenLine)
    assert broken.id == "broken-line:3"
    assert re.match(expected, broken.why)
    assert [first.id, last.id] == ["a", "c"]


def test_a_quote_that_is_never_closed_is_told_with_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    path.write_text('prompt\nx\n"y\nz\n')

    _, broken = read_problems(path)

    assert broken == BrokenLine(4, "not CSV: unexpected end of data, begun on line 3")


def test_a_unicode_line_separator_stays_in_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    path.write_text("prompt\nx\u2028y\n")

    assert [one.prompt for one in problems(path)] == ["x\u2028y"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    path.write_text("prompt,prompt\nx,y\n")

    with pytest.raises(ProblemFileError, match="has two columns named 'prompt'"):
        list(read_problems(path))


# --- Parquet and data sets --------------------------------------------------------------------


def test_a_parquet_file_is_read_with_its_lists(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "problems.parquet"
    row = {"question": "The capital of France?", "options": ["Rome", "Paris", "Oslo"], "gold": "B"}
    rows = [row, row | {"question": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    first, second = read_problems(source(path, choices="options", answer="gold"))

    assert isinstance(first, Problem)
    assert first.prompt == "The capital of France?\n\n(A) Rome\n(B) Paris\n(C) Oslo"
    assert first.answer == "B"
    assert second == BrokenLine(2, "there is no prompt")


def test_what_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "problems.parquet"
    path.write_text("no")

    with pytest.raises(ProblemFileError, match=r"cannot read problems from .*problems\.parquet"):
        list(read_problems(path))


@pytest.mark.parametrize(
    ("place", "package", "extra"),
    [("problems.parquet", "pyarrow", "parquet"), ("hf://a/b?split=test", "datasets", "hf")],
)
def test_a_missing_package_is_named_with_its_extra(
    place: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ProblemFileError, match=rf"'{package}'.*pip install -e '\.\[{extra}\]'"):
        list(read_problems(source(place)))


@pytest.mark.slow
def test_a_folder_of_data_is_read_like_a_data_set_of_the_hub(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    rows: list[dict[str, object]] = [
        {"id": f"p{n}", "question": f"{n}?", "answer": str(n)} for n in range(5)
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    address = f"hf://{tmp_path}?split=test[-2:]"

    found = problems(source(address))

    assert [(one.id, one.prompt, one.answer) for one in found] == [
        ("p3", "3?", "3"),
        ("p4", "4?", "4"),
    ]
    assert source(address).digest == source(address).digest


@pytest.mark.slow
def test_a_data_set_that_cannot_be_loaded_says_what_else_to_do(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    address = f"hf://{tmp_path}/nowhere?split=test"

    with pytest.raises(
        ProblemFileError, match=r"cannot load the data set .*save its rows as JSON Lines"
    ):
        list(read_problems(source(address)))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://owner/name", "has no split; write it as hf://owner/name"),
        ("hf://?split=test", "has no name"),
        ("hf://a/b?spilt=test", "unknown key 'spilt'; keys: config, revision, split"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        list(read_problems(source(address)))
