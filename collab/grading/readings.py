"""What a statement can come to: one number, several, none, or something that is not read."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Unread = Literal["words", "several", "unreadable"]
"""`words`: it names no number. `several`: it lists more than one. `unreadable`: a formula, or
something that may be more than one number."""

_PERCENT = Fraction(1, 100)


@dataclass(frozen=True, slots=True)
class Number:
    """The one number of a statement.

    Attributes:
        written: The number without what multiplies it.
        factor: What multiplies it: 1/100 of a percent sign, 1000 of "thousand".
        is_bare: Nothing is beside it but signs of percent, money or degrees, and a variable.
        others: Other numbers it is said to equal, `1/3` of `1/3 = 0.33`.
    """

    written: Fraction
    factor: Fraction = Fraction(1)
    is_bare: bool = True
    others: frozenset[Fraction] = frozenset()

    @property
    def value(self) -> Fraction:
        """The number."""
        return self.written * self.factor


Reading = Number | Unread


def same_number(answer: Number, expected: Number) -> bool | None:
    """Return whether both are one number; `None` if that cannot be told.

    Where only one is in percent, the sign may have been left out: 28% is 28, and 0.28.
    `0.5%` beside 0.5 cannot be told, as it may be meant to be 0.005; nor can, beside 5,
    "5 million" or "5 dozen": what was asked for decides.
    """
    if answer.value == expected.value:
        return True
    factors = {answer.factor, expected.factor}
    if answer.written == expected.written and 1 in factors:
        is_left_out = _PERCENT in factors and abs(answer.written) >= 1
        return True if is_left_out else None
    return None if expected.value in answer.others else False
