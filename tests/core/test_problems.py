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
    (line,) = read_problems(write(tmp_path, "[1, 2]"))

    assert line == BrokenLine(1, "expected an object, found list")


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

    with pytest.raises(ProblemFileError, match="is no regular file.* save what comes through"):
        list(read_problems(pipe))


def test_a_blank_answer_is_none() -> None:
    assert Problem(prompt="q", answer="").answer is None
    assert Problem(prompt="q", answer=" ").answer is None
    assert Problem(prompt="q", answer="0").answer == "0"
