r"""One exact number read out of any of its dresses, or refused.

The reader is a parser of the dress, not of mathematics: it knows signs, separators, decimals,
fractions, mixed numbers, powers of ten, percent, scales and units. It computes nothing: `9 * 2`
is no number here, and what it cannot read it never takes for another number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from collab.grading.beside import is_unit, read_factor
from collab.grading.lexing import Token, exponent_of

_MAX_DEPTH = 8
_MAX_EXPONENT = 999
_TEN = Fraction(10)
_ORDINALS = frozenset({"st", "nd", "rd", "th"})


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as it stands in a text.

    Attributes:
        written: The number without what multiplies it.
        factor: What multiplies it: 1/100 of a percent sign, 1000 of "thousand".
        start: Index of its first token.
        end: Index after its last token.
        is_ordinal: It is a place in a row, such as `6th`.
        has_unit: A word or a sign of degrees follows it at once.
    """

    written: Fraction
    factor: Fraction
    start: int
    end: int
    is_ordinal: bool = False
    has_unit: bool = False

    @property
    def value(self) -> Fraction:
        """The number."""
        return self.written * self.factor


class AmountReader:
    """Reads amounts out of the tokens of a statement, each from where it begins."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens

    def begins(self, place: int) -> bool:
        """Whether an amount begins here: with a numeral, or a sign or bracket before one."""
        token = self._at(place)
        if token is None:
            return False
        if token.kind in ("number", "vulgar", "frac"):
            return True
        if token.kind == "sign" and self._is_unary(place):
            return self.begins(place + 1) or self._opens(place + 1)
        return False

    def read(self, place: int) -> Amount | None:
        """Return the amount that begins at a token; `None` if it cannot be read."""
        return self._amount(place, 0)

    def _at(self, place: int) -> Token | None:
        return self._tokens[place] if 0 <= place < len(self._tokens) else None

    def _kind(self, place: int) -> str:
        token = self._at(place)
        return token.kind if token else ""

    def _opens(self, place: int) -> bool:
        return self._kind(place) in ("open", "begin")

    def _is_unary(self, place: int) -> bool:
        """Whether a sign is one of a number, and not between two."""
        before, after = self._at(place - 1), self._at(place + 1)
        if before is None or before.kind in ("relation", "comma", "open", "begin"):
            return True
        stands_free = self._tokens[place].has_gap and after is not None and not after.has_gap
        return stands_free and before.kind == "word" and not before.is_name

    def _amount(self, place: int, depth: int) -> Amount | None:
        start, sign = place, 1
        if self._kind(place) == "sign":
            sign = -1 if self._tokens[place].text == "-" else 1
            place += 1
        found = self._mixed(place, depth)
        if found is None:
            return None
        value, place = found
        factor, place, has_unit = read_factor(self._tokens, place)
        if factor != 1 and sign < 0 and value < 0:
            return None
        amount = Amount(sign * value, factor, start, place, has_unit=has_unit)
        return self._with_unit(amount)

    def _mixed(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        """Read a number, a mixed number, a plain fraction, or a number times a power of ten."""
        found = self._simple(place, depth)
        if found is None:
            return None
        value, end = found
        token = self._tokens[place]
        is_whole = token.kind == "number" and value.denominator == 1 and "." not in token.text
        if is_whole and (part := self._proper_part(end, depth)):
            return value + part[0], part[1]
        if self._kind(end) == "slash" and self._kind(end + 1) == "number":
            return self._quotient(value, end + 1)
        return self._power_of_ten(place, value, end)

    def _proper_part(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        """Read what follows the whole of a mixed number: a fraction between 0 and 1."""
        token = self._at(place)
        if token is None:
            return None
        found = None
        if token.kind in ("vulgar", "frac"):
            found = self._simple(place, depth)
        elif token.value is not None and token.has_gap and self._kind(place + 1) == "slash":
            is_divided = self._kind(place + 2) == "number"
            found = self._quotient(token.value, place + 2) if is_divided else None
        return found if found and 0 < found[0] < 1 else None

    def _quotient(self, value: Fraction, place: int) -> tuple[Fraction, int] | None:
        """Divide by the numeral at `place`; dates and the like, `1/2/3`, are refused."""
        divisor = self._tokens[place].value
        if not divisor or (self._kind(place + 1) == "slash" and self._kind(place + 2) == "number"):
            return None
        return value / divisor, place + 1

    def _simple(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        token = self._at(place)
        if token is None or depth > _MAX_DEPTH:
            return None
        if token.kind in ("number", "vulgar"):
            assert token.value is not None, "the lexer has given it one"
            return token.value, place + 1
        if token.kind == "frac":
            return self._fraction(place + 1, depth + 1)
        if token.kind in ("open", "begin"):
            return self._enclosed(place, depth + 1)
        return None

    def _enclosed(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        closing = "close" if self._tokens[place].kind == "open" else "end"
        inner = self._amount(place + 1, depth)
        if inner is None or inner.factor != 1 or self._kind(inner.end) != closing:
            return None
        return inner.written, inner.end + 1

    def _fraction(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        r"""Read the two arguments of `\frac`, of which each is a group or one digit."""
        first = self._at(place)
        if first is None:
            return None
        if first.kind == "number" and len(first.text) == 2 and first.text.isdecimal():
            parts: tuple[Fraction, Fraction] = (Fraction(first.text[0]), Fraction(first.text[1]))
            return (parts[0] / parts[1], place + 1) if parts[1] else None
        over = self._argument(place, depth)
        under = self._argument(over[1], depth) if over else None
        if over is None or under is None or under[0] == 0:
            return None
        return over[0] / under[0], under[1]

    def _argument(self, place: int, depth: int) -> tuple[Fraction, int] | None:
        token = self._at(place)
        if token is None:
            return None
        if token.kind == "begin":
            return self._enclosed(place, depth)
        if token.kind == "number" and len(token.text) == 1:
            return Fraction(token.text), place + 1
        return None

    def _power_of_ten(self, place: int, value: Fraction, end: int) -> tuple[Fraction, int]:
        r"""Read `3 \times 10^8`, `10^{-3}` and `10⁸`; any other power is left to the caller."""
        base = place
        if self._is_times(end) and self._kind(end + 1) == "number":
            base = end + 1
        if self._tokens[base].text != "10":
            return value, end
        found = self._exponent(base + 1)
        if found is None:
            return value, end
        exponent, after = found
        return (value if base != place else Fraction(1)) * _TEN**exponent, after

    def _is_times(self, place: int) -> bool:
        token = self._at(place)
        return token is not None and (token.kind == "times" or token.text == "x")

    def _exponent(self, place: int) -> tuple[int, int] | None:
        token = self._at(place)
        if token is None:
            return None
        if token.kind == "raised":
            exponent, end = exponent_of(token.text), place + 1
        elif token.kind == "power":
            exponent, end = self._written_exponent(place + 1)
        else:
            return None
        return (exponent, end) if exponent is not None and abs(exponent) <= _MAX_EXPONENT else None

    def _written_exponent(self, place: int) -> tuple[int | None, int]:
        is_grouped = self._opens(place)
        place += is_grouped
        sign = -1 if self._kind(place) == "sign" and self._tokens[place].text == "-" else 1
        place += self._kind(place) == "sign"
        token = self._at(place)
        if token is None or token.kind != "number" or not token.text.isdecimal():
            return None, place
        if is_grouped and self._kind(place + 1) not in ("end", "close"):
            return None, place
        return sign * int(token.text), place + 1 + is_grouped

    def _with_unit(self, amount: Amount) -> Amount | None:
        """Return the amount with the unit that touches it; `None` if that makes it a term."""
        unit = self._at(amount.end)
        if unit is None or unit.kind != "word":
            return amount
        is_ordinal = not unit.has_gap and unit.text in _ORDINALS
        if not is_ordinal and not is_unit(unit):
            return None
        return Amount(
            amount.written,
            amount.factor,
            amount.start,
            amount.end,
            is_ordinal=is_ordinal,
            has_unit=True,
        )
