"""The example on GSM8K: its files are valid, and its table runs on the shipped pair."""

import json
import sys
from pathlib import Path

import pytest
from support.commands import run

from collab.grading import grade
from collab.problems import Problem, read_problems
from collab.runs.assembly import build_backends, build_recipe
from collab.runs.config_files import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gsm8k"
PAIRS = sorted((FOLDER / "pairs").glob("*.yaml"))
TASKS = [FOLDER / "task.yaml", FOLDER / "few_shot.yaml"]


@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_the_sample_is_read_and_its_solutions_are_right(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(task)
    assert config.problems is not None

    problems = list(read_problems(config.problems))

    assert len(problems) == 50
    for problem in problems:
        assert isinstance(problem, Problem)
        assert problem.answer is not None
        solved = grade(
            problem.answer,
            reference=problem.answer,
            reason="eos",
            grader=config.grader,
            extraction=config.extraction,
        )
        assert solved.outcome == "correct"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.stem)
def test_every_pair_is_valid(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    config = load_config(FOLDER / "task.yaml", {"pair": str(pair)})

    assert set(build_backends(config)) == {"generator", "mentor"}
    assert build_recipe(config).name == "mentorcollab-free"


@pytest.mark.slow
def test_the_table_has_a_row_for_every_way_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    table = (sys.executable, str(FOLDER / "table.py"), "--pair", "lab", "--limit", "2")
    ways = ("generator", "mentor", "mentorcollab-free", "random words", "glimprouter")

    first = run(*table, "--out", str(tmp_path), "--only", *ways, cwd=ROOT)
    results = {path: path.read_bytes() for path in tmp_path.glob("*/results.jsonl")}
    second = run(*table, "--out", str(tmp_path), "--only", *ways, cwd=ROOT)

    rows = [line.split("|")[1:-1] for line in first.splitlines()]
    assert [row[0].strip() for row in rows[2:]] == list(ways)
    assert {row[1].strip() for row in rows[2:]} == {"2"}
    assert second == first
    assert {path: path.read_bytes() for path in results} == results
    alone = json.loads((tmp_path / "mentor" / "summary.json").read_text())
    assert rows[3][4].strip() == "100.0 %"
    assert alone["usage"]["generator"]["calls"] == 2
