"""How a row becomes a problem: columns, options, templates, shuffling; and runs of such."""

import json
import sys
from pathlib import Path

import pytest
from support.cli_helpers import invoke, write_config
from support.run_fakes import ADDER, rows_by_id

from collab.errors import ConfigError
from collab.problems import BrokenLine, Problem, read_problems
from collab.problems.sources import ProblemSource
from collab.runs.config_files import load_config, parse_config
from collab.runs.runner import run

CAPITALS: dict[str, object] = {
    "question": "The capital of France?",
    "options": ["Rome", "Paris", "Oslo"],
    "gold": "B",
}


def source(path: object, **options: object) -> ProblemSource:
    return ProblemSource.model_validate({"source": str(path), **options})


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def problems(where: ProblemSource | Path) -> list[Problem]:
    read = list(read_problems(where))
    assert all(isinstance(one, Problem) for one in read), read
    return [one for one in read if isinstance(one, Problem)]


def why(where: ProblemSource) -> str:
    (record,) = where.records()
    return record.why_broken


# --- columns, options, templates --------------------------------------------------------------


def test_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"uuid": 7, "text": "x?", "solution": 4, "answer": "no"})

    found = problems(source(path, id="uuid", prompt="text", answer="solution"))

    assert found == [Problem(id="7", prompt="x?", answer="4")]


@pytest.mark.parametrize(
    ("rows", "taken"),
    [("1:3", "bc"), (":2", "ab"), ("3:", "d"), ("-2:", "cd"), (":-3", "a"), ("", "abcd")],
)
def test_a_source_may_be_a_part_of_its_rows(tmp_path: Path, rows: str, taken: str) -> None:
    given: list[dict[str, object]] = [{"id": one, "prompt": f"{one}?"} for one in "abcd"]
    path = write(tmp_path / "p.jsonl", *given)

    assert "".join(one.id for one in problems(source(path, rows=rows))) == taken


def test_rows_that_are_no_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"String should match pattern"):
        source(tmp_path / "p.jsonl", rows="1-3")


def test_a_named_column_that_a_row_lacks_breaks_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"text": "x?"})

    assert why(source(path, prompt="txt")) == "no column 'txt'; columns: text"


def test_a_template_takes_any_column_and_doubled_braces(tmp_path: Path) -> None:
    row = {"prompt": "Who?", "facts": ["It rained.", "{x}"], "year": 1900}
    template = "{year}: {facts}\n{prompt} End with \\boxed{{...}}."

    (found,) = problems(source(write(tmp_path / "p.jsonl", row), template=template))

    assert found.prompt == "1900: It rained.\n{x}\nWho? End with \\boxed{...}."


def test_a_template_with_an_unknown_column_breaks_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"prompt": "x"})

    assert why(source(path, template="{promt}")) == ("the template names 'promt'; columns: prompt")


@pytest.mark.parametrize("template", ["{", "{}", "{prompt.x}", "{prompt!r}", "{prompt:5}"])
def test_a_template_that_cannot_be_filled_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="a brace that is text"):
        source("p.jsonl", template=template)


def test_options_may_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question,a,b,answer\nx?,one,two,1\n")

    (found,) = problems(source(path, choices=["a", "b"], answer_as="index"))

    assert (found.prompt, found.answer) == ("x?\n\n(A) one\n(B) two", "B")


@pytest.mark.parametrize(
    ("gold", "answer_as", "letter"),
    [("(b)", "letter", "B"), (1, "index", "B"), ("Paris", "option", "B"), (None, "letter", None)],
)
def test_the_right_option_is_named_in_three_ways(
    gold: object, answer_as: str, letter: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.jsonl", CAPITALS | {"gold": gold})

    (found,) = problems(source(path, choices="options", answer="gold", answer_as=answer_as))

    assert found.answer == letter


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gold": "D"}, "gold: 'D' names none of the 3 options as letter; see `answer_as`"),
        ({"options": ["one"]}, "1 options; expected 2 to 10"),
        ({"options": "one"}, "options: expected a list of options, found None"),
    ],
)
def test_options_that_are_none_break_the_row(
    change: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.jsonl", CAPITALS | change)

    assert why(source(path, choices="options", answer="gold")) == expected


def test_shuffled_options_take_the_right_letter_along(tmp_path: Path) -> None:
    rows = [CAPITALS | {"question": f"{n}?"} for n in range(40)]
    path = write(tmp_path / "p.jsonl", *rows)

    found = problems(source(path, choices="options", answer="gold", shuffle_seed=1))

    assert all(f"({one.answer}) Paris" in one.prompt for one in found)
    assert {one.answer for one in found} == {"A", "B", "C"}


def test_an_order_depends_on_the_seed_and_the_problem_alone(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [CAPITALS | {"question": f"{n}?"} for n in range(20)]
    there, back = tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    write(there, *rows)
    write(back, *reversed(rows))
    how: dict[str, object] = {"choices": "options", "answer": "gold"}

    first = problems(source(there, shuffle_seed=1, **how))
    other = problems(source(there, shuffle_seed=2, **how))

    assert sorted(problems(source(back, shuffle_seed=1, **how)), key=lambda one: one.id) == sorted(
        first, key=lambda one: one.id
    )
    assert [one.id for one in first] == [one.id for one in other]
    assert first != other


def test_shuffling_without_options_is_refused() -> None:
    with pytest.raises(ValueError, match="name their column in `choices`"):
        source("p.jsonl", shuffle_seed=1)


# --- in a run ---------------------------------------------------------------------------------


async def test_a_run_reads_and_records_how(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("a,right\n1,3\n2,4\n3\n")
    how = {"source": str(path), "prompt": "a", "answer": "right", "template": "{prompt} + 1 = "}

    values = {"problems": how, "out": tmp_path / "out", "policy": "never"}
    pair = {"generator": {"use": ADDER, "error": 1}}

    outcome = await run(parse_config(values | {"pair": pair}, "test"))

    record = json.loads((tmp_path / "out" / "config.json").read_text())
    assert outcome.summary.outcomes["correct"] == 2
    assert rows_by_id(tmp_path / "out")["broken-line:4"]["outcome"] == "error"
    assert record["problem_options"] == {key: how[key] for key in ("prompt", "answer", "template")}


def test_a_file_on_the_command_line_is_read_as_the_configured_one(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=1, policy="never")
    other = tmp_path / "other.csv"
    other.write_text("text,answer\n1 + 1 = ,3\n")

    shown = invoke("run", config, "--problems", other, "--set", "problems.prompt=text")

    assert "1 correct" in shown.stdout


def test_an_unknown_option_of_problems_is_told_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("problems: {source: p.jsonl, colums: x}")

    with pytest.raises(ConfigError, match="unknown key 'colums' in problems.*keys: answer, answer"):
        load_config(path)


def test_flags_keep_an_address_as_it_is(tmp_path: Path) -> None:
    config = load_config(None, {"problems": "hf://owner/name?split=test"})

    assert str(config.problems) == "hf://owner/name?split=test"


def test_a_deeply_nested_column_harms_only_who_shows_it(tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    path = tmp_path / "p.jsonl"
    path.write_text(
        f'{{"id": "a", "prompt": "x?", "deep": {deep}}}\n{{"prompt": "y", "deep": 1}}\n'
    )

    unused = problems(source(path, template="{prompt}!"))
    shown, fine = read_problems(source(path, template="{prompt} {deep}"))

    assert [one.prompt for one in unused] == ["x?!", "y!"]
    if sys.version_info >= (3, 13):  # which writes it out
        assert isinstance(shown, Problem)
    else:
        assert isinstance(shown, BrokenLine)
        assert shown.why == "a column is nested too deeply"
    assert isinstance(fine, Problem)


def test_equal_questions_with_options_and_without_ids_are_problems_of_their_own(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "p.jsonl", CAPITALS, CAPITALS)

    first, second = problems(source(path, choices="options", answer="gold"))

    assert second.id == f"{first.id}-2"
