"""Properties of the number reader: every dress keeps the number, and no two numbers are one."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collab.grading import grade
from collab.grading.lexing import MAX_DIGITS
from collab.grading.readings import Number
from collab.grading.statements import MAX_LENGTH, read_number

PROPERTY = settings(deadline=None, derandomize=True, database=None)
INTEGERS = st.integers(-(10**12), 10**12)


def grouped(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


def indian(number: int) -> str:
    head, last = divmod(abs(number), 1000)
    if not head:
        return str(number)
    pairs = []
    while head:
        head, pair = divmod(head, 100)
        pairs.append(f"{pair:02}")
    return ("-" if number < 0 else "") + ",".join(reversed(pairs)).lstrip("0") + f",{last:03}"


def signed(number: int, minus: str, before: str = "") -> str:
    return (minus if number < 0 else "") + before + str(abs(number))


DRESSES: dict[str, Callable[[int], str]] = {
    "bare": str,
    "minus sign": lambda n: signed(n, "\u2212"),
    "en dash": lambda n: signed(n, "\u2013"),
    "wide minus": lambda n: signed(n, "\uff0d"),
    "blank after the sign": lambda n: signed(n, "- "),
    "plus": lambda n: signed(n, "-") if n < 0 else f"+{n}",
    "sign before dollars": lambda n: signed(n, "-", "$"),
    "sign before escaped dollars": lambda n: signed(n, "-", r"\$"),
    "dollars before the sign": lambda n: f"${n}",
    "euros": lambda n: f"{n} \u20ac",
    "in dollar signs": lambda n: f"${n}$",
    "in round delimiters": lambda n: rf"\({n}\)",
    "in square delimiters": lambda n: rf"\[{n}\]",
    "in brackets": lambda n: f"({n})",
    "in sized brackets": lambda n: rf"\left({n}\right)",
    "in braces": lambda n: f"{{{n}}}",
    "bold": lambda n: f"**{n}**",
    "italic": lambda n: f"_{n}_",
    "code": lambda n: f"`{n}`",
    "quoted": lambda n: f'"{n}"',
    "in text": lambda n: rf"\text{{{n}}}",
    "in bold text": lambda n: rf"\mathbf{{{n}}}",
    "in a box": lambda n: rf"\boxed{{{n}}}",
    "wide digits": lambda n: str(n).translate({ord(str(d)): 0xFF10 + d for d in range(10)}),
    "leading zeros": lambda n: f"{n:+020}",
    "decimals": lambda n: f"{n}.00",
    "final dot": lambda n: f"{n}.",
    "commas": lambda n: grouped(n, ","),
    "braced commas": lambda n: grouped(n, "{,}"),
    "thin spaces": lambda n: grouped(n, r"\,"),
    "commas drawn close": lambda n: grouped(n, r",\!"),
    "escaped blanks": lambda n: grouped(n, r"\ "),
    "tildes": lambda n: grouped(n, "~"),
    "blanks": lambda n: grouped(n, " "),
    "fixed blanks": lambda n: grouped(n, "\u00a0"),
    "narrow blanks": lambda n: grouped(n, "\u202f"),
    "apostrophes": lambda n: grouped(n, "'"),
    "underscores": lambda n: grouped(n, "_"),
    "Indian groups": indian,
    "fraction": lambda n: rf"\frac{{{3 * n}}}{{3}}",
    "shown fraction": lambda n: rf"\dfrac{{{2 * n}}}{{2}}",
    "slash": lambda n: f"{7 * n}/7",
    "thousandths": lambda n: rf"{n}000 \times 10^{{-3}}",
    "exponent": lambda n: f"{n}e0",
    "equation": lambda n: f"x = {n}",
    "sum": lambda n: f"{n - 1} + 1 = {n}",
    "unit": lambda n: f"{n} apples",
    "unit with an exponent": lambda n: rf"{n}\text{{ cm}}^2",
    "degrees": lambda n: rf"{n}^\circ",
}


@pytest.mark.parametrize("dress", DRESSES)
@given(number=INTEGERS)
@settings(PROPERTY, max_examples=30)
def test_a_dress_keeps_the_number(dress: str, number: int) -> None:
    text = rf"So it is \boxed{{{DRESSES[dress](number)}}}."

    right = grade(text, reference=str(number), reason="eos")
    wrong = grade(text, reference=str(number + 1), reason="eos")
    turned = grade(text, reference=str(-number), reason="eos")

    assert right.outcome == "correct"
    assert wrong.outcome == "wrong"
    assert turned.outcome == ("wrong" if number else "correct")


@given(data=st.data(), number=INTEGERS, other=INTEGERS)
@settings(PROPERTY, max_examples=300)
def test_a_reference_may_wear_any_dress_too(data: st.DataObject, number: int, other: int) -> None:
    assume(number != other)
    worn, asked = (data.draw(st.sampled_from(sorted(DRESSES))) for _ in range(2))
    text = rf"\boxed{{{DRESSES[worn](number)}}}"

    same = grade(text, reference=DRESSES[asked](number), reason="eos", grader="numeric")
    another = grade(text, reference=DRESSES[asked](other), reason="eos", grader="numeric")

    assert (same.outcome, another.outcome) == ("correct", "wrong")


def test_there_are_more_than_forty_dresses() -> None:
    assert len(DRESSES) > 40


@given(first=INTEGERS, second=INTEGERS)
@settings(PROPERTY)
def test_two_integers_are_never_one(first: int, second: int) -> None:
    assume(first != second)

    assert grade(rf"\boxed{{{first}}}", reference=str(second), reason="eos").outcome == "wrong"


@given(first=st.fractions(max_denominator=999), second=st.fractions(max_denominator=999))
@settings(PROPERTY)
def test_two_fractions_are_one_only_if_they_are_equal(first: Fraction, second: Fraction) -> None:
    text = rf"\boxed{{\frac{{{first.numerator}}}{{{first.denominator}}}}}"

    graded = grade(text, reference=str(second), reason="eos", grader="numeric")

    assert graded.outcome == ("correct" if first == second else "wrong")


@given(whole=st.integers(0, 10**6), top=st.integers(1, 999), bottom=st.integers(2, 999))
@settings(PROPERTY)
def test_a_mixed_number_is_a_sum_and_never_a_product(whole: int, top: int, bottom: int) -> None:
    assume(top < bottom)
    value = whole + Fraction(top, bottom)

    for sign, minus in ((1, ""), (-1, "-")):
        found = read_number(rf"{minus}{whole}\frac{{{top}}}{{{bottom}}}")
        plain = read_number(f"{minus}{whole} {top}/{bottom}")
        assert isinstance(found, Number)
        assert found.value == sign * value
        if 0 < whole < 1000 and top >= 100:  # `1 100/101` may be 1100 over 101
            assert plain == "unreadable"
        else:
            assert isinstance(plain, Number)
            assert plain.value == sign * value


@given(value=st.decimals(-(10**6), 10**6, places=4, allow_nan=False))
@settings(PROPERTY)
def test_a_decimal_is_exactly_what_it_says(value: object) -> None:
    found = read_number(f"{value:f}")

    assert isinstance(found, Number)
    assert found.value == Fraction(str(value))


@given(text=st.text(alphabet="0123456789.,-+/^_ {}()[]$%\\*=x!:'½²", max_size=40))
@settings(PROPERTY, max_examples=500)
def test_any_statement_is_read_or_refused(text: str) -> None:
    found = read_number(text)

    assert isinstance(found, Number) or found in ("words", "several", "unreadable")


@given(text=st.text(alphabet="0123456789.,- ", max_size=12), number=st.integers(0, 10**6))
@settings(PROPERTY, max_examples=500)
def test_digits_are_never_left_out(text: str, number: int) -> None:
    """Whatever stands around: a reading has all digits of the statement, or says another thing."""
    found = read_number(f"{text}{number}")

    if isinstance(found, Number) and found.value.denominator == 1:
        digits = [one for one in f"{text}{number}" if one.isdigit()]
        assert str(abs(found.value)).strip("0") in "".join(digits)


@pytest.mark.parametrize(
    "statement",
    ["9" * (MAX_DIGITS + 1), "9" * 10**6, "{" * 100_000 + "5", "5" + " " * MAX_LENGTH + "x"],
)
def test_what_is_too_long_is_not_read(statement: str) -> None:
    assert read_number(statement) == "unreadable"


@pytest.mark.parametrize(
    "hostile",
    [
        "\\boxed{" + "{" * 100_000 + "5" + "}" * 100_000 + "}",
        "\\boxed{" + "\\frac{" * 300 + "1" + "}{2}" * 300 + "}",
        "The answer is " + "9" * 10**6,
        "answer is " * 50_000,
        "answer:\n" * 50_000,
        "Answer: 12" + ",34" * 100_000,
        "####" * 100_000,
        "answer: " + "(" * 100_000 + "5",
        "A, " * 100_000,
    ],
    ids=[
        "braces",
        "fractions",
        "digits",
        "phrases",
        "labels",
        "groups",
        "hashes",
        "brackets",
        "letters",
    ],
)
@pytest.mark.parametrize("reference", ["5", "B", "Paris"])
def test_hostile_texts_are_never_right(hostile: str, reference: str) -> None:
    for extraction in ("marked", "last-number"):
        graded = grade(hostile, reference=reference, reason="eos", extraction=extraction)
        assert graded.outcome in ("wrong", "no_answer", "ungradable")
