"""The grader `math-verify`: equal as mathematics, and what hostile expressions come to."""

import signal
import sys

import pytest

from collab.errors import ConfigError
from collab.grading import Grade, grade, math_equality
from collab.grading.math_equality import are_equal

pytest.importorskip("math_verify")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("(x+1)^2", "x^2+2x+1"),
        (r"\sqrt{12}", r"2\sqrt{3}"),
        ("0.5", r"\frac{1}{2}"),
        (r"\{2, 1\}", r"\{1, 2\}"),
        ("5", "x = 5"),
        ("$5$", "5"),
    ],
)
def test_equal_expressions_are_equal(answer: str, reference: str) -> None:
    assert are_equal(answer, reference) is True


@pytest.mark.parametrize(
    ("answer", "reference"), [("6", "5"), ("(2, 1)", "(1, 2)"), ("", "5"), ("no idea", "5")]
)
def test_different_expressions_are_not(answer: str, reference: str) -> None:
    assert are_equal(answer, reference) is False


def test_a_reference_that_is_no_expression_cannot_be_told() -> None:
    assert are_equal("5", "") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "hostile", ["99999999!", r"2^{10^{9}}", r"\sum_{n=1}^{10^9} \frac{1}{n}", "(" * 5_000 + "1"]
)
def test_a_hostile_expression_is_given_up_and_the_next_is_compared(hostile: str) -> None:
    told = are_equal(hostile, "3^{10^{8}}", limit_s=0.5)

    assert told is not True
    assert are_equal("2", "2") is True


def test_a_worker_that_died_is_replaced() -> None:
    are_equal("1", "1")
    worker = math_equality._SHARED._process
    assert worker is not None
    worker.kill()
    worker.wait()

    assert are_equal("1", "1") is None  # of the one that died, nobody can tell
    assert are_equal("1", "1") is True


@pytest.mark.slow
def test_a_worker_that_gets_no_time_is_replaced_and_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(math_equality, "_WAIT_S", 0.0)
    are_equal("1", "1")
    worker = math_equality._SHARED._process
    assert worker is not None
    worker.send_signal(signal.SIGSTOP)

    assert are_equal("2x+3", "2(x+3)", limit_s=5.0) is False


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)

    with pytest.raises(ConfigError, match=r"pip install -e '\.\[math\]'"):
        math_equality.ensure_math_verify()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{(x+1)^2}", Grade("correct", "(x+1)^2", "math-verify", "boxed", "math")),
        (r"\boxed{x^2}", Grade("wrong", "x^2", "math-verify", "boxed", "math")),
        ("I do not know.", Grade("no_answer", None, "math-verify")),
    ],
)
def test_answers_are_graded_by_it(text: str, expected: Grade) -> None:
    assert grade(text, reference="x^2+2x+1", reason="eos", grader="math-verify") == expected


def test_what_cannot_be_told_is_not_wrong() -> None:
    graded = grade("The answer is 5.", reference="$", reason="eos", grader="math-verify")

    assert graded.outcome == "ungradable"
