"""Letters of options: where texts name them, and where they only seem to."""

import pytest

from collab.grading import Grade, extract_choice, grade, is_right, judge_of
from collab.grading.letters import choice_letter, lone_letter


@pytest.mark.parametrize(
    "said",
    [
        *("C", "(C)", "[C]", "{C}", "C)", "C.", "C:", "(c)", "c", "**C**", "$C$", "`C`"),
        *("C) Paris", "(C) Paris", "C. Paris", "C: Paris", "C, as it is", "C because it is"),
        *(r"\text{C}", r"\textbf{(C)}", r"\mathrm{C}", "option C", "Option (C)", "the letter C"),
        *("the correct answer is C", "choice: C"),
    ],
)
def test_a_statement_names_its_letter(said: str) -> None:
    assert choice_letter(said) == "C"


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
def test_every_letter_of_ten_options_is_one(letter: str) -> None:
    assert choice_letter(f"({letter})") == choice_letter(f"{letter}) it") == letter


@pytest.mark.parametrize(
    "said",
    [
        *("", "A good one", "I think so", "Paris", "K", "(K)", "CO2", "C2", "C's", "a cat"),
        *("both", "12", "not C", "d'accord", "()"),
    ],
)
def test_what_only_looks_like_a_letter_is_none(said: str) -> None:
    assert choice_letter(said) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Let us see.\nAnswer: C", "C"),
        ("The answer is (B).", "B"),
        (r"So it is \boxed{D}.", "D"),
        (r"\boxed{\text{(D)}} is my choice", "D"),
        ("The answer is B. No: the final answer is **C**.", "C"),
        ("The answer is C. So the answer is clear.", "C"),
        ("#### B", "B"),
        ("I weigh A against B.\n(B)", "B"),
        ("B", "B"),
        ("<think>Answer: A</think>\nAnswer: B", "B"),
        ("It may be A or B.", None),
        ("The answer is Paris.", None),
        ("", None),
    ],
)
def test_the_last_letter_that_is_marked_counts(text: str, letter: str | None) -> None:
    assert extract_choice(text) == letter


def test_a_letter_at_the_end_of_a_cut_off_text_is_no_answer() -> None:
    assert extract_choice("Answer: B", is_cut_off=True) is None
    assert extract_choice("So:\nB", is_cut_off=True) is None
    assert extract_choice(r"\boxed{B} as", is_cut_off=True) == "B"


def test_a_last_line_with_more_than_a_letter_is_not_one() -> None:
    assert lone_letter("Well.\nB it is") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: (C) Paris", Grade("correct", "C", "choice", "phrase", "letter")),
        ("Answer: B", Grade("wrong", "B", "choice", "phrase", "letter")),
        ("Paris, I believe.", Grade("no_answer", None, "choice")),
    ],
)
def test_a_letter_is_graded_by_letters(text: str, expected: Grade) -> None:
    assert grade(text, reference="C", reason="eos") == expected


@pytest.mark.parametrize(
    ("reference", "judge"),
    [
        ("C", "choice"),
        ("(C)", "choice"),
        ("#### 12", "numeric"),
        ("Paris", "exact"),
        ("K", "exact"),
    ],
)
def test_the_reference_says_who_judges_if_nobody_is_named(reference: str, judge: str) -> None:
    assert judge_of("auto", reference) == judge


@pytest.mark.parametrize(("reference", "judge"), [("Paris", "numeric"), ("Paris", "choice")])
def test_a_reference_that_a_grader_cannot_read_is_ungradable(reference: str, judge: str) -> None:
    graded = grade("The answer is 7. Answer: B", reference=reference, reason="eos", grader=judge)  # type: ignore[arg-type]

    assert graded.outcome == "ungradable"
    assert graded.grader == judge


def test_exact_compares_numbers_as_text() -> None:
    assert is_right("1/2", "0.5", "exact") is False
    assert is_right("1/2", "0.5", "numeric") is True
