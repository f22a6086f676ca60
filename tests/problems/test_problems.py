import json
import os
import re
from pathlib import Path

import pytest

from collab.errors import ProblemFileError
from collab.problems import BrokenLine, Problem, read_problems


def write(folder: Path, *lines: str) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_a_problem_without_an_id_is_named_by_its_prompt() -> None:
    assert Problem(prompt="What?").id == Problem(prompt="What?").id != Problem(prompt="Who?").id


def test_questions_and_numbers_are_read_too(tmp_path: Path) -> None:
    path = write(tmp_path, '{"question": "2 + 2?", "answer": 4, "id": "p"}')

    assert list(read_problems(path)) == [Problem(id="p", prompt="2 + 2?", answer="4")]


def test_a_broken_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": "a", "prompt": "x"}', "", '{"id": "b", "prom', '{"id": "c"}')

    first, second, third = read_problems(path)

    assert isinstance(first, Problem)
    assert isinstance(second, BrokenLine)
    assert isinstance(third, BrokenLine)
    assert (second.id, third.id, third.why) == (
        "broken-line:3",
        "broken-line:4",
        "prompt: Field required",
    )
    assert second.why.startswith("not JSON: ")


def test_a_line_that_is_no_object_is_broken(tmp_path: Path) -> None:
    line, _ = read_problems(write(tmp_path, "[1, 2]", '{"prompt": "x"}'))

    assert line == BrokenLine(1, "expected an object, found list")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (['{"a": 1}', '{"a": 2}'], "line 1: prompt: Field required"),
        (["Dear all,", "see below"], "line 1: not JSON"),
        (["[", "1", "]"], "line 1: expected an object, found int"),
    ],
)
def test_a_file_without_one_problem_is_refused_with_the_reason(
    tmp_path: Path, lines: list[str], why: str
) -> None:
    with pytest.raises(ProblemFileError, match=rf"no row of '.*' is a problem; {why}"):
        list(read_problems(write(tmp_path, *lines)))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_too(tmp_path: Path, indent: int | None) -> None:
    rows = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}]
    path = write(tmp_path, json.dumps(rows, indent=indent))

    assert list(read_problems(path)) == [Problem.model_validate(row) for row in rows]


def test_a_file_in_utf_16_is_read_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes('{"id": "a", "prompt": "x²"}\n'.encode("utf-16"))

    assert list(read_problems(path)) == [Problem(id="a", prompt="x²")]


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.tsv", "id\tprompt\na\tx, y\n"), ("p.csv", "id;prompt\na;x, y\n")],
)
def test_cells_are_parted_by_what_parts_the_column_names(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)

    assert list(read_problems(tmp_path / name)) == [Problem(id="a", prompt="x, y")]


def test_a_packed_file_is_told_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl.gz").write_bytes(b"\x1f\x8b")

    with pytest.raises(
        ProblemFileError, match=r"is compressed; unpack it first, such as with `gunzip"
    ):
        list(read_problems(tmp_path / "p.jsonl.gz"))


def test_equal_prompts_without_ids_are_problems_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, *['{"prompt": "x"}'] * 3)

    first, second, third = (one.id for one in read_problems(path))

    assert (second, third) == (f"{first}-2", f"{first}-3")


def test_a_unicode_line_separator_does_not_end_a_line(tmp_path: Path) -> None:
    (problem,) = read_problems(write(tmp_path, '{"id": "a", "prompt": "x\u2028y"}'))

    assert isinstance(problem, Problem)
    assert problem.prompt == "x\u2028y"


def test_a_doubled_id_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": "a", "prompt": "x"}', "", '{"id": "a", "prompt": "y"}')

    with pytest.raises(ProblemFileError, match="has the id 'a' on lines 1 and 3"):
        list(read_problems(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemFileError, match=r"cannot read problems from .*nowhere\.jsonl"):
        list(read_problems(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize("number", [0, 7, 0.5])
def test_a_number_is_an_id_too(number: float) -> None:
    assert Problem(id=number, prompt="What?").id == str(number)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"prompt": "\xff"}', "not UTF-8: .*can't decode byte 0xff"),
        (b"[" * 100_000, "not JSON: maximum recursion depth"),
        (b'{"prompt": "x", "answer": ' + b"9" * 5_000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"prompt": "x", "id": "\\ud800"}', "id: Input should be a valid string"),
        (b'{"prompt": "x", "id": [1]}', "id: Input should be a valid string"),
    ],
)
def test_one_broken_line_does_not_take_the_others_along(
    line: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(line + b'\n{"prompt": "y"}\n')

    broken, whole = read_problems(path)

    assert isinstance(broken, BrokenLine)
    assert re.match(why, broken.why)
    assert isinstance(whole, Problem)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "x"}\r\n')

    (problem,) = read_problems(path)

    assert isinstance(problem, Problem)


def test_a_users_id_is_never_that_of_a_broken_line(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": "line-2", "prompt": "x"}', "{")

    assert [one.id for one in read_problems(path)] == ["line-2", "broken-line:2"]


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(ProblemFileError, match="is not a regular file.* save what comes through"):
        list(read_problems(pipe))


def test_a_blank_answer_is_none() -> None:
    assert Problem(prompt="q", answer="").answer is None
    assert Problem(prompt="q", answer=" ").answer is None
    assert Problem(prompt="q", answer="0").answer == "0"
