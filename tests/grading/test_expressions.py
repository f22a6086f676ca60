"""Texts and formulas compared literally: what may be set aside, and that brackets never are."""

import ast
import operator
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collab.grading import grade
from collab.grading.expressions import other_brackets, same_text

PROPERTY = settings(deadline=None, derandomize=True, database=None)
TURNED = {"(": "[", "[": "(", ")": "]", "]": ")"}
SUMS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}

atoms = st.sampled_from(["x", "y", "2", "13", r"\pi", r"\frac{1}{2}", "x^2", r"\sqrt{3}"])
formulas = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", ",", ""]), inner).map("".join),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"[{one})"),
        inner.map(lambda one: rf"\sqrt{{{one}}}"),
        st.tuples(inner, inner).map(lambda two: rf"\frac{{{two[0]}}}{{{two[1]}}}"),
    ),
    max_leaves=8,
)
sums = st.recursive(
    st.integers(1, 9).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda parts: f"({''.join(parts)})"
    ),
    max_leaves=6,
)


@given(formula=formulas, chosen=st.integers(0, 99))
@settings(PROPERTY)
def test_a_bracket_that_is_turned_or_left_out_is_seen(formula: str, chosen: int) -> None:
    places = [place for place, character in enumerate(formula) if character in TURNED]
    assume(places)
    place = places[chosen % len(places)]

    turned = formula[:place] + TURNED[formula[place]] + formula[place + 1 :]
    removed = formula[:place] + formula[place + 1 :]

    assert same_text(formula, formula)
    assert not same_text(formula, turned)
    assert not same_text(formula, removed)
    for other in (turned, removed):
        assert grade(rf"\boxed{{{other}}}", reference=formula, reason="eos").outcome != "correct"


@given(formula=formulas)
@settings(PROPERTY)
def test_blanks_and_sized_brackets_carry_no_meaning(formula: str) -> None:
    dressed = formula.replace("(", r"\left( ").replace(")", r" \right)").replace("+", " + ")

    assert same_text(f"$ {dressed} $", formula)
    assert same_text(formula.replace(r"\frac", r"\dfrac"), rf"\({formula}\)")


@given(formula=sums, chosen=st.integers(0, 99))
@settings(PROPERTY, max_examples=25)
def test_a_sum_without_its_brackets_is_another_one(formula: str, chosen: int) -> None:
    pytest.importorskip("math_verify")
    openings = [place for place, character in enumerate(formula) if character == "("]
    assume(openings)
    start = openings[chosen % len(openings)]
    end = closing(formula, start)
    bare = formula[:start] + formula[start + 1 : end] + formula[end + 1 :]

    graded = grade(rf"\boxed{{{bare}}}", reference=formula, reason="eos", grader="math-verify")

    is_same = value(ast.parse(bare, mode="eval").body) == value(
        ast.parse(formula, mode="eval").body
    )
    assert graded.outcome == ("correct" if is_same else "wrong")


def closing(formula: str, start: int) -> int:
    """Return the place of the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(formula)):
        depth += (formula[place] == "(") - (formula[place] == ")")
        if depth == 0:
            return place
    raise ValueError(f"unbalanced: {formula!r}")


def value(node: ast.expr) -> int:
    """Return what a sum of integers comes to."""
    if isinstance(node, ast.BinOp):
        return SUMS[type(node.op)](value(node.left), value(node.right))
    assert isinstance(node, ast.Constant), "sums hold nothing else"
    return int(str(node.value))


@pytest.mark.parametrize(
    ("answer", "expected", "is_other"),
    [
        (r"\{1,2\}", "(1,2)", True),
        ("[1,2]", "(1,2)", True),
        ("(1,2]", "(1,2)", True),
        ("(1,2)", "(1,3)", False),
        ("(1,2)+(3,4)", "[1,2]", False),
        ("1,2", "(1,2)", False),
        ("(x)", "[x]", False),
        ("((1,2)", "[1,2]", False),
    ],
)
def test_lists_in_brackets_of_another_kind_are_told_apart(
    answer: str, expected: str, *, is_other: bool
) -> None:
    assert other_brackets(answer, expected) is is_other


def test_texts_too_long_to_take_apart_are_compared_whole() -> None:
    long = "x" * 30_000

    assert same_text(f" {long}", long)
    assert not same_text(f"{long}y", long)
