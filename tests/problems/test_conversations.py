"""Problems that are conversations: reading them, their ids, and what is refused."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from collab.messages import Message, text_of
from collab.problems import BrokenLine, Problem, read_problems
from collab.problems.sources import ProblemSource

ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2 + 2?"},
]
MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content="2 + 2?"))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("column", ["messages", "prompt", "question"])
def test_a_list_of_messages_is_a_conversation(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, "p.jsonl", json.dumps({column: ASKED, "answer": 4}))

    (problem,) = read_problems(path)

    assert problem == Problem(prompt=MESSAGES, answer="4")


def test_a_column_of_messages_holds_json_where_cells_are_text(tmp_path: Path) -> None:
    cell = json.dumps(ASKED).replace('"', '""')
    path = write(tmp_path, "p.csv", f'messages,answer\n"{cell}",4\n')

    assert list(read_problems(path)) == [Problem(prompt=MESSAGES, answer="4")]


def test_a_prompt_that_only_looks_like_messages_is_a_text(tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", json.dumps({"prompt": json.dumps(ASKED)}))

    assert list(read_problems(path)) == [Problem(prompt=json.dumps(ASKED))]


def test_keys_without_a_value_are_left_out(tmp_path: Path) -> None:
    messages = [{**ASKED[1], "name": None}]
    path = write(tmp_path, "p.jsonl", json.dumps({"messages": messages}))

    assert list(read_problems(path)) == [Problem(prompt=MESSAGES[1:])]


def test_the_id_of_a_conversation_depends_on_all_of_it() -> None:
    given = Problem.model_validate({"prompt": ASKED})

    assert given.id == Problem(prompt=MESSAGES).id
    others = (MESSAGES[1:], text_of(MESSAGES), (*MESSAGES, Message(role="assistant", content="4")))
    assert given.id not in {Problem(prompt=one).id for one in others}


def test_a_conversation_survives_its_record() -> None:
    problem = Problem(prompt=MESSAGES)

    assert Problem.model_validate_json(problem.model_dump_json()) == problem
    assert json.loads(problem.model_dump_json())["prompt"] == ASKED


def test_a_conversation_has_one_text() -> None:
    assert Problem(prompt=MESSAGES).text == "system: Be brief.\n\nuser: 2 + 2?"
    assert Problem(prompt=MESSAGES[1:]).text == "2 + 2?" == Problem(prompt="2 + 2?").text


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            {"role": "tool", "content": "x"},
            "message 2 has the role 'tool'; expected system, user, assistant",
        ),
        ({"role": "user"}, "message 2 has the content None; expected a text"),
        (
            {"role": "user", "content": [{"type": "text"}]},
            r"message 2 has the content \[{'type': 'text'}\]; expected a text",
        ),
        (
            {"role": "user", "content": "x", "name": "ann"},
            "message 2 has 'name' beside `role` and `content`",
        ),
        ("hello", "message 2 is 'hello'; expected an object with `role` and `content`"),
    ],
)
def test_what_is_no_message_breaks_its_row_only(tmp_path: Path, message: object, why: str) -> None:
    lines = [json.dumps({"messages": [ASKED[1], message]}), json.dumps({"prompt": "x"})]
    path = write(tmp_path, "p.jsonl", "\n".join(lines))

    broken, fine = read_problems(path)

    assert isinstance(broken, BrokenLine)
    assert re.match(f"prompt: {why}", broken.why)
    assert fine == Problem(prompt="x")
    with pytest.raises(ValidationError, match=why):
        Problem.model_validate({"prompt": [ASKED[1], message]})


def test_messages_have_no_place_in_a_template(tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", json.dumps({"messages": ASKED}) + '\n{"prompt": "x"}')
    source = ProblemSource(source=str(path), template="Q: {prompt}")

    broken, _ = read_problems(source)

    assert isinstance(broken, BrokenLine)
    assert "which has no place in a template" in broken.why
