"""The published pairs and tasks: files are valid, prompts come out as meant, the table works."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from support.commands import run

from collab.grading import grade, judge_of
from collab.problems import Problem, read_problems
from collab.runs.assembly import build_backends, build_recipe
from collab.runs.config import RunConfig
from collab.runs.config_files import load_config
from collab_backends.local.backend import LocalTorch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "mentorcollab"
PAIRS = sorted((FOLDER / "pairs").glob("*.yaml"))
TASKS = sorted((FOLDER / "tasks").glob("*.yaml"))
ROWS: dict[str, dict[str, object]] = {
    "math": {"problem": "What is $1 + {1}$?", "answer": "2"},
    "supergpqa": {
        "uuid": "u",
        "question": "Which?",
        "options": [f"number {n}" for n in range(10)],
        "answer_letter": "J",
    },
    "com2-hard": {
        "id": "1",
        "case": "A vase broke.",
        "facts": ["It rained.", "The cat was in."],
        "question": "Who?",
        "options": ["The cat", "The rain"],
        "answer": "A",
    },
}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.stem)
@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_every_pair_is_valid_with_every_task(
    pair: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)

    config = load_config(task, {"pair": str(pair)})

    generator, mentor = build_backends(config).values()
    assert build_recipe(config).name == "mentorcollab-free"
    assert isinstance(generator, LocalTorch)
    # A base model is never shown a chat template, also where its tokenizer has one.
    is_base = generator.model.endswith(("-Base", "-pt", "Llama-3.1-8B"))
    assert generator.view.template == ("raw" if is_base else "chat")
    assert mentor.view.is_thinking_enabled is False


def test_there_is_one_pair_for_every_published_generator() -> None:
    models = {yaml.safe_load(pair.read_text())["generator"]["model"] for pair in PAIRS}

    assert models == {
        "Qwen/Qwen3-1.7B",
        "Qwen/Qwen3-8B-Base",
        "google/gemma-3-4b-it",
        "google/gemma-3-4b-pt",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-3.2-3B-Instruct",
    }


def read_one(task: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunConfig, str]:
    """Return a task's configuration with a file of one row, and the prompt made of it."""
    monkeypatch.chdir(ROOT)
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(ROWS[task.stem]))
    config = load_config(task, {"problems": str(file)})
    assert config.problems is not None
    (problem,) = read_problems(config.problems)
    assert isinstance(problem, Problem)
    assert problem.answer is not None
    assert judge_of(config.grader, problem.answer) == config.grader
    return config, problem.text


@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_a_prompt_ends_where_the_answer_begins(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, prompt = read_one(task, tmp_path, monkeypatch)

    assert prompt.endswith(("Solution:", "Reasoning:", "Analysis:"))
    assert "{{" not in prompt
    assert prompt == prompt.strip()


def test_the_worked_problems_mark_their_answers_like_the_grader_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {task.stem: task for task in TASKS}
    _, mathematics = read_one(tasks["math"], tmp_path, monkeypatch)
    _, questions = read_one(tasks["supergpqa"], tmp_path, monkeypatch)

    worked = mathematics.split("\n\nProblem: ")[1:-1]
    for solution, answer in zip(worked, ["26", "24", r"\frac{1}{6}", "8"], strict=True):
        graded = grade(solution, reference=answer, reason="eos", grader="exact")
        assert graded.outcome == "correct"
    letters = [one.rpartition("Answer: ")[2] for one in questions.split("\n\nQuestion: ")[1:-1]]
    assert letters == ["B", "C", "D"]
    assert "What is $1 + {1}$?" in mathematics
    assert "(J) number 9" in questions


def test_lists_of_facts_are_written_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = (task for task in TASKS if task.stem == "com2-hard")

    _, prompt = read_one(task, tmp_path, monkeypatch)

    assert "What is known:\nIt rained.\nThe cat was in.\n" in prompt
    assert "Question: Who?\n(A) The cat\n(B) The rain\n" in prompt


@pytest.mark.slow
def test_the_table_is_made_and_gone_on_with(tmp_path: Path) -> None:
    model = {"use": "local", "threads": 1}
    pair = {
        "generator": model | {"model": "lab/generator"},
        "mentor": model | {"model": "lab/mentor"},
    }
    task = {
        "pair": "lab",
        "recipe": {"use": "mentorcollab-free", "max_answer_tokens": 120},
        "problems": str(ROOT / "examples" / "problems.jsonl"),
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(pair))
    (tmp_path / "chains.yaml").write_text(yaml.safe_dump(task))
    command = (
        *(sys.executable, str(FOLDER / "table.py"), "--out", "runs"),
        *("--pairs", "tiny.yaml", "--tasks", "chains.yaml", "--limit", "2"),
    )

    first = run(*command, cwd=tmp_path)
    again = run(*command, cwd=tmp_path)

    head, _, row = first.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert again == first
    assert head.startswith("| generator | mentor | task | N | alone | mentor alone | together |")
    assert cells[:4] == ["lab/generator", "lab/mentor", "chains", "2"]
    assert cells[5].startswith("100.0% (")
    assert len(list((tmp_path / "runs" / "chains").glob("**/results.jsonl"))) == 3
