"""Grading: which answer a text gives, and whether it is right."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from collab.grading import Grade, answers_match, extract_answer, grade

GRADED = Path(__file__).parents[1] / "data" / "gsm8k_graded.jsonl"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is \boxed{7}.", "7"),
        (r"First \boxed{3}, no: \boxed{4}.", "4"),
        (r"It is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"It is \boxed{7}, not \boxed{8", "7"),
        (r"It is \boxed{}.", None),
        ("16 - 3 = 13\n#### 13\n\nDone.", "13"),
        ("####\n5", "5"),
        ("The answer is 4. No, the answer is 5.", "5"),
        ("The final answer is: **18**", "18"),
        ("Answer: B\nI am sure.", "B"),
        (r"The answer is 3. \boxed{4}", "4"),
        ("There are 7 of them.", None),
        ("", None),
    ],
)
def test_the_last_marked_answer_counts(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_only_what_follows_a_closed_thinking_block_counts() -> None:
    text = r"<think>Perhaps \boxed{3}.</think>The answer is 4."

    assert extract_answer(text) == "4"


def test_an_unclosed_thinking_block_counts() -> None:
    assert extract_answer(r"<think>It is \boxed{3}.") == "3"


def test_the_last_number_counts_only_if_asked_for() -> None:
    text = "That makes 5 + 7 = 12 eggs, so 1,200g on the 4th."

    assert extract_answer(text) is None
    assert extract_answer(text, extraction="last-number") == "1,200"


def test_half_a_word_at_the_end_of_a_cut_off_text_is_no_answer() -> None:
    assert extract_answer("The answer is 12", is_cut_off=True) is None
    assert extract_answer("#### 12", is_cut_off=True) is None
    assert extract_answer(r"It is \boxed{12}", is_cut_off=True) == "12"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("18", "She makes 9 * 2 = 18.\n#### 18"),
        ("$1,200", "1200"),
        ("18.00", "18"),
        ("0.5", r"\frac{1}{2}"),
        ("1/2", "0.5"),
        ("18 dollars", "18"),
        ("10{,}000", "10000"),
        ("-3", "-3"),
        ("(b)", "B"),
        ("Paris.", "paris"),
        (r"\text{Paris}", "Paris"),
    ],
)
def test_equal_answers_match(answer: str, reference: str) -> None:
    assert answers_match(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("18", "19"),
        ("-15", "15"),
        ("7 or 8", "7"),
        ("1/0", "1"),
        ("seven", "7"),
        ("7", "seven"),
        ("London", "Paris"),
        ("__import__('os')", "1"),
    ],
)
def test_different_answers_do_not_match(answer: str, reference: str) -> None:
    assert not answers_match(answer, reference)


@pytest.mark.parametrize(
    ("text", "reference", "reason", "expected"),
    [
        ("The answer is 5.", "5", "eos", Grade("correct", "5", "numeric", "phrase", "number")),
        ("The answer is 6.", "5", "eos", Grade("wrong", "6", "numeric", "phrase", "number")),
        ("I do not know.", "5", "eos", Grade("no_answer", None, "numeric")),
        ("So x = 5, and", "5", "length", Grade("truncated", None, "numeric")),
        ("So x = 5, and", "5", "context", Grade("truncated", None, "numeric")),
        ("So so so", "5", "repeat", Grade("truncated", None, "numeric")),
        ("So x = 5, and", "5", "budget: max_tokens", Grade("truncated", None, "numeric")),
        (r"\boxed{5}, and", "5", "length", Grade("correct", "5", "numeric", "boxed", "number")),
        ("The answer is 5.", None, "eos", Grade("ungraded", "5", None, "phrase")),
    ],
)
def test_every_outcome_is_told_apart(
    text: str, reference: str | None, reason: str, expected: Grade
) -> None:
    assert grade(text, reference=reference, reason=reason) == expected


def test_many_unclosed_boxes_are_read_in_linear_time() -> None:
    assert extract_answer("\\boxed{" * 20_000) is None


def test_recorded_gsm8k_answers_are_graded_as_labelled() -> None:
    rows = [json.loads(line) for line in GRADED.read_text().splitlines()]

    grades = [
        grade(
            row["response"],
            reference=row["reference"],
            reason="eos",
            extraction="last-number",
        )
        for row in rows
    ]

    assert len(rows) == 22
    assert [one.outcome == "correct" for one in grades] == [row["label"] for row in rows]


def test_a_strange_reference_is_not_matched_by_chance() -> None:
    rows = [json.loads(line) for line in GRADED.read_text().splitlines()]

    matches = [
        answers_match(other["reference"].rpartition("####")[2], row["reference"])
        for row, other in pairwise(rows)
        if other["question"] != row["question"]
    ]

    assert not any(matches)
