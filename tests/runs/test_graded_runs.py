"""Runs by how their answers are graded: what rows and summaries say."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from support.cli_helpers import invoke, write_config
from support.run_fakes import ADDER, adder_config, rows_by_id

from collab.errors import ConfigError
from collab.runs.assembly import build_controller
from collab.runs.config_files import load_config
from collab.runs.runner import run


def problems(folder: Path, *answers: str) -> None:
    """Write problems that the generator answers with 3, 4, ..."""
    lines = [
        json.dumps({"id": f"p{n}", "prompt": f"{n} + 1 = ", "answer": answer})
        for n, answer in enumerate(answers, start=1)
    ]
    (folder / "problems.jsonl").write_text("\n".join(lines))


async def test_what_cannot_be_told_is_in_no_accuracy(tmp_path: Path) -> None:
    problems(tmp_path, "3", "5", "some", "none")

    outcome = await run(adder_config(tmp_path, grader="numeric", policy="never"))

    summary = outcome.summary
    assert {name: n for name, n in summary.outcomes.items() if n} == {
        "correct": 1,
        "wrong": 1,
        "ungradable": 2,
    }
    assert (summary.problems, summary.graded, summary.accuracy) == (4, 2, 0.5)


async def test_a_row_says_who_judged_it(tmp_path: Path) -> None:
    problems(tmp_path, "3", "4.", "some")

    await run(adder_config(tmp_path, policy="never"))

    graders = {name: row["grader"] for name, row in rows_by_id(tmp_path / "out").items()}
    assert graders == {"p1": "numeric", "p2": "numeric", "p3": "exact"}


async def test_mathematics_is_compared_as_such(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    problems(tmp_path, r"\sqrt{9}", r"\sqrt{9}", "??")

    await run(adder_config(tmp_path, grader="math-verify", policy="never"))

    rows = rows_by_id(tmp_path / "out")
    assert [rows[name]["outcome"] for name in ("p1", "p2", "p3")] == [
        "correct",
        "wrong",
        "ungradable",
    ]
    assert {row["grader"] for row in rows.values()} == {"math-verify"}


def test_the_summary_shows_what_could_not_be_told(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=2, policy="never", grader="choice")

    shown = invoke("run", config, "--set", "extraction=last-number")

    assert "outcomes      2 ungradable" in shown.stdout
    assert (
        "the grader could not decide about 2 answers; they do not count in the accuracy"
        in shown.stdout
    )


def test_the_summary_names_the_way_to_numbers_that_nothing_marks(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=3, policy="never", pair=plain_pair(tmp_path))

    shown = invoke("run", config)
    taken = invoke("run", config, "--set", "extraction=last-number", "--out", tmp_path / "other")

    assert "outcomes      3 no answer" in shown.stdout
    assert (
        "note: 3 of 3 answers contain a number but mark none as the answer; with `--set "
        "extraction=last-number` and another --out, the last one counts" in shown.stdout
    )
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["unmarked"] == 3
    assert "outcomes      3 correct" in taken.stdout
    assert "mark none" not in taken.stdout


def test_a_few_answers_without_a_mark_are_not_noted(tmp_path: Path) -> None:
    shown = invoke("run", write_config(tmp_path, problems=3, policy="never"))

    assert "outcomes      3 wrong" in shown.stdout
    assert "mark none" not in shown.stdout


def plain_pair(folder: Path) -> str:
    """Write a pair whose generator names the right number and marks no answer."""
    path = folder / "plain.yaml"
    path.write_text(yaml.safe_dump({"generator": {"use": ADDER, "says": "That makes"}}))
    return str(path)


async def test_the_tags_of_the_generators_view_end_its_thinking(tmp_path: Path) -> None:
    problems(tmp_path, "2", "3")
    view = {"thinking": {"opening": "I add", "closing": " answer"}}
    pair = {"generator": {"use": ADDER, "view": view}}

    outcome = await run(adder_config(tmp_path, pair=pair, policy="never", verifiers=[]))

    assert outcome.summary.outcomes["no_answer"] == 2


def test_another_grader_is_another_run(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=2, policy="never")
    invoke("run", config)

    refused = invoke("run", config, "--set", "grader=exact")

    assert refused.exit_code == 2
    assert 'grader: "auto" there, "exact" now' in refused.stderr


def test_an_unknown_grader_is_refused_with_those_there_are(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    with pytest.raises(ConfigError, match="grader: Input should be 'auto', 'exact', 'numeric'"):
        load_config(config, settings=["grader=sympy"])


def test_a_missing_package_is_found_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)

    with pytest.raises(ConfigError, match=r"pip install -e '\.\[math\]'"):
        build_controller(adder_config(tmp_path, grader="math-verify"))
