"""Every row of the file of graded answers, which is the specification of the graders."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from collab.grading import OUTCOMES, FoundBy, Grader, grade
from collab.views import ThinkingTags

FILE = Path(__file__).parents[1] / "data" / "graded_answers.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=range(1, len(ROWS) + 1))
def test_an_answer_is_graded_as_the_file_says(row: dict[str, str]) -> None:
    grader: Grader = row.get("grader", "auto")  # type: ignore[assignment]  # as the file names it
    if grader == "math-verify" and find_spec("math_verify") is None:
        pytest.skip("math-verify is not installed")
    tags = row.get("thinking")

    graded = grade(
        row["text"],
        reference=row["reference"],
        reason=row.get("reason", "eos"),
        extraction="last-number" if row.get("extraction") == "last-number" else "marked",
        grader=grader,
        thinking=ThinkingTags.model_validate(tags) if tags else None,
    )

    assert graded.outcome == row["outcome"]


def test_the_file_holds_every_outcome_but_failures() -> None:
    assert len(ROWS) >= 400
    assert {row["outcome"] for row in ROWS} == set(OUTCOMES) - {"error"}


@pytest.mark.parametrize(
    ("text", "reference", "rules"),
    [
        (r"\boxed{5}", "5", ("boxed", "number")),
        ("<answer>B</answer>", "B", ("tag", "letter")),
        ("#### 5", "5", ("hashes", "number")),
        ("The answer is 5.", "5", ("phrase", "number")),
        ("### Final Answer\n5", "5", ("heading", "number")),
        ("A: 5", "5", ("prefix", "number")),
        ("There are 5.", "5", ("last-number", "number")),
        ("It is so.\nB. Paris", "B", ("last-line", "letter")),
        ("The answer is Paris.", "Paris", ("phrase", "text")),
        ("The answer is 5:30.", "5:30", ("phrase", "text-not-number")),
        ("There is none.", "5", (None, None)),
        ("The answer is 5.", None, ("phrase", None)),
    ],
)
def test_a_grade_says_by_which_rules(
    text: str, reference: str | None, rules: tuple[FoundBy | None, str | None]
) -> None:
    graded = grade(text, reference=reference, reason="eos", extraction="last-number")

    assert (graded.found_by, graded.compared_by) == rules


def test_a_grader_that_was_asked_for_needs_no_number() -> None:
    graded = grade(r"\boxed{5:30}", reference="5:30", reason="eos", grader="exact")

    assert (graded.outcome, graded.compared_by) == ("correct", "text")


@pytest.mark.parametrize(
    ("answer", "rule"), [("(x+1)^2", "text"), ("x^2+2x+1", "math"), (r"\{1,2\}", "math")]
)
def test_mathematics_is_only_asked_about_texts_that_differ(answer: str, rule: str) -> None:
    pytest.importorskip("math_verify")

    graded = grade(rf"\boxed{{{answer}}}", reference="(x+1)^2", reason="eos", grader="math-verify")

    assert graded.compared_by == rule
