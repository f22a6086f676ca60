r"""What number a statement gives: one, several, none, or one that cannot be read.

A statement is what stands in a box or after "the answer is": `18`, `x = 18`, `9 eggs * $2 = $18`,
`18 dollars, since 20 - 2 = 18`. Of a chain of equations the last side counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from collab.grading.lexing import Token, tokens
from collab.grading.numerals import Amount, AmountReader, is_unit

MAX_LENGTH = 2_000
"""Longest statement that is read, in characters."""

Unread = Literal["words", "several", "unreadable"]
"""`words`: it names no number. `several`: it lists more than one. `unreadable`: a formula, or
something that may be more than one number."""

_AND = frozenset({"and", "和", "及"})
_OR = frozenset({"or", "或", "或者"})
_HIDDEN_NUMBERS = frozenset(
    "half halves quarter quarters thirds twice thrice double triple squared cubed minus plus "
    "negative over under times divided not than".split()
)
"""Words that make another number of the one beside them."""

_NUMBER_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million half quarter".split()
)
_EASTERN_NUMERALS = frozenset("一二三四五六七八九十百千万零两")
_ARTICLES = frozenset({"is", "a", "an", "the", "about", "exactly", "only", "just", "equal", "to"})


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


def read_number(statement: str) -> Reading:
    """Return the number that a short statement gives, or why there is none."""
    statement = _unquoted(statement.strip())
    if len(statement) > MAX_LENGTH:
        return "unreadable"
    found = _without_asides(tokens(statement))
    if not found:
        return "words"
    parts = [_read_part(part) for part in _parts(found)]
    return _combined(parts, found)


def same_number(answer: Number, expected: Number) -> bool | None:
    """Return whether both are one number; `None` if that cannot be told.

    Where only one is in percent, the sign may have been left out: 28% is 28, and 0.28. Where only
    one has a scale ("5 million" beside 5), what was asked for decides, which is not known here.
    """
    if answer.value == expected.value:
        return True
    factors = {answer.factor, expected.factor}
    if answer.written == expected.written and 1 in factors:
        return True if Fraction(1, 100) in factors else None
    return None if expected.value in answer.others else False


# --- parts of a statement ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """What was read between two commas.

    Attributes:
        reading: The number there.
        joined_by: What parts it from the part before: `,`, `and`, `or` or nothing.
        has_unit: Words follow the number.
        has_lead: Words stand before it.
        is_ordinal: It is a place in a row.
    """

    reading: Reading
    joined_by: str = ""
    has_unit: bool = False
    has_lead: bool = False
    is_ordinal: bool = False


def _parts(found: Sequence[Token]) -> Iterator[tuple[str, list[Token]]]:
    """Yield the tokens between commas, "and" and "or" outside brackets, with what parts them."""
    depth, joined_by = 0, ""
    part: list[Token] = []
    for token in found:
        depth += (token.kind in ("open", "begin")) - (token.kind in ("close", "end"))
        joint = _joint(token) if depth <= 0 or token.kind == "word" else ""
        if joint:
            if part:
                yield joined_by, part
                joined_by, part = joint, []
            else:
                joined_by = joint if joined_by != "or" else joined_by
        else:
            part.append(token)
    if part:
        yield joined_by, part


def _joint(token: Token) -> str:
    if token.kind == "comma":
        return ","
    if token.kind == "word":
        name = token.text.casefold()
        return "and" if name in _AND else "or" if name in _OR else ""
    return ""


def _read_part(part: tuple[str, list[Token]]) -> _Part:
    joined_by, found = part
    sides: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.kind in ("open", "begin")) - (token.kind in ("close", "end"))
        if token.kind == "relation":
            sides.append([])
        else:
            sides[-1].append(token)
    read = [_Side(side) for side in sides]
    counting = next((side for side in reversed(read) if side.reading != "words"), read[-1])
    if not isinstance(counting.reading, Number):
        return _Part(counting.reading, joined_by)
    others = {
        one.reading.value
        for one in read
        if isinstance(one.reading, Number) and one.reading.value != counting.reading.value
    }
    number = Number(
        counting.reading.written,
        counting.reading.factor,
        is_bare=_is_bare(counting, read),
        others=frozenset(others),
    )
    return _Part(number, joined_by, counting.has_unit, counting.has_lead, counting.is_ordinal)


def _is_bare(counting: "_Side", sides: Sequence["_Side"]) -> bool:
    """Whether nothing but a variable and an equals sign is beside the number."""
    rest = [token for side in sides if side is not counting for token in side.found]
    is_variable = not rest or rest[0].is_name and len({token.kind for token in rest[1:]}) <= 2
    clean = not counting.has_unit and not counting.has_lead and not counting.is_ordinal
    return clean and is_variable and not any(token.kind == "sign" for token in rest)


def _combined(parts: Sequence[_Part], found: Sequence[Token]) -> Reading:
    if any(part.reading == "unreadable" for part in parts):
        return "unreadable"
    if any(part.reading == "several" for part in parts):
        return "several"
    numbered = [part for part in parts if isinstance(part.reading, Number)]
    if any(not part.is_ordinal for part in numbered):  # `18 on the 4th`
        numbered = [part for part in numbered if not part.is_ordinal]
    if not numbered:
        return "unreadable" if _spells_number(found) else "words"
    first = numbered[0].reading
    assert isinstance(first, Number), "chosen so"
    values = {part.reading.value for part in numbered if isinstance(part.reading, Number)}
    if len(values) == 1:
        is_bare = first.is_bare and len(parts) == 1
        return Number(first.written, first.factor, is_bare=is_bare, others=first.others)
    if any(part.joined_by == "or" for part in parts):
        return "several"
    is_prose = any(part.has_lead for part in numbered[1:])
    has_units = sum(part.has_unit for part in numbered) > 1  # `5 feet and 6 inches`
    return "unreadable" if is_prose or has_units else "several"


def _spells_number(found: Sequence[Token]) -> bool:
    """Whether the words begin with a number that is spelt out, or stand beside a formula."""
    words = [token.text.casefold() for token in found if token.kind == "word"]
    named = next((word for word in words if word not in _ARTICLES), "")
    return named in _NUMBER_WORDS or bool(named) and named[0] in _EASTERN_NUMERALS


# --- one side of an equation ------------------------------------------------------------------


class _Side:
    """The reading of what stands between two equals signs."""

    def __init__(self, found: Sequence[Token]) -> None:
        self.found = found
        self._reader = AmountReader(found)
        self._amounts: list[Amount] = []
        self._is_bad = False
        self._words: list[int] = []
        self._scan()
        self.reading = self._told()

    @property
    def has_unit(self) -> bool:
        """Whether a word follows the number."""
        last = self._amounts[-1]
        return last.has_unit and not self._is_degree(last) or any(
            place >= last.end for place in self._words
        )

    @property
    def has_lead(self) -> bool:
        """Whether a word stands before the number."""
        return any(place < self._amounts[0].start for place in self._words)

    @property
    def is_ordinal(self) -> bool:
        """Whether every number is a place in a row."""
        return all(amount.is_ordinal for amount in self._amounts)

    def _is_degree(self, amount: Amount) -> bool:
        kinds = {token.kind for token in self.found[amount.start : amount.end]}
        return "degree" in kinds

    def _told(self) -> Reading:
        if self._is_bad or self._is_juxtaposed():
            return "unreadable"
        amounts = [one for one in self._amounts if not one.is_ordinal] or self._amounts
        if not amounts:
            return "words"
        if len({amount.value for amount in amounts}) > 1:
            return "unreadable" if self._words else "several"
        if len(amounts) < len(self._amounts):
            self._amounts = amounts
        return Number(amounts[0].written, amounts[0].factor)

    def _is_juxtaposed(self) -> bool:
        """Whether two numbers stand side by side with nothing but brackets between."""
        for one, two in pairwise(self._amounts):
            between = {token.kind for token in self.found[one.end : two.start]}
            if between <= {"open", "close", "begin", "end"}:
                return True
        return False

    def _scan(self) -> None:
        place = 0
        while place < len(self.found) and not self._is_bad:
            if self._reader.begins(place):
                place = self._take_amount(place)
            elif self.found[place].kind == "word":
                place = self._take_word(place)
            else:
                place = self._take_other(place)

    def _take_amount(self, place: int) -> int:
        amount = self._reader.read(place)
        if amount is None or self._is_glued(place, amount.end) or self._is_counted_over(place):
            self._is_bad = True
            return place + 1
        self._amounts.append(amount)
        return amount.end

    def _is_glued(self, start: int, end: int) -> bool:
        """Whether what touches a number makes a term of it, or a name: `x5`, `5(x)`, `2^3`."""
        if self._is_term(start):
            return True
        after = self.found[end] if end < len(self.found) else None
        if after is None:
            return False
        if after.kind == "open":
            return not after.has_gap
        return after.kind in ("power", "subscript", "raised", "command", "frac", "vulgar")

    def _is_term(self, start: int) -> bool:
        """Whether a name stands right before a number: `x5`, `x 5`, `\\mathbf{x}5`."""
        place = start - 1
        while place >= 0 and self.found[place].kind in ("end", "begin"):
            place -= 1
        before = self.found[place] if place >= 0 else None
        if before is None or before.kind != "word" or before.is_eastern:
            return False
        if before.is_name and before.text not in ("a", "A", "I"):
            return True
        return place == start - 1 and not self.found[start].has_gap

    def _is_counted_over(self, place: int) -> bool:
        """Whether the word before changes the number: `not 5`, `more than 5`, `half of 5`."""
        words = [self.found[one].text.casefold() for one in self._words[-2:] if one >= place - 2]
        return any(word in _HIDDEN_NUMBERS for word in words)

    def _take_word(self, place: int) -> int:
        self._words.append(place)
        self._is_bad = self._amounts != [] and self._changes_number(place)
        place += 1
        if self._amounts or self._is_index(place):
            return self._after_exponent(place)
        return place

    def _changes_number(self, place: int) -> bool:
        word = self.found[place]
        is_next = self._amounts[-1].end == place
        if is_next and not self._amounts[-1].is_ordinal and not is_unit(word):
            return True
        name = word.text.casefold()
        if name in ("times", "over", "under", "than", "not"):  # fatal only before a number
            return self._reader.begins(place + 1)
        return name in _HIDDEN_NUMBERS

    def _is_index(self, place: int) -> bool:
        """Whether a variable's index follows: `x_1`."""
        return place < len(self.found) and self.found[place].kind == "subscript"

    def _after_exponent(self, place: int) -> int:
        """Return the index behind the exponent of a unit, or the index of a variable."""
        is_closed = place < len(self.found) and self.found[place].kind == "end"
        place += is_closed  # `\\text{cm}^2`
        kinds = [token.kind for token in self.found[place : place + 5]]
        for shape in (
            ("raised",),
            ("power", "number"),
            ("power", "begin", "number", "end"),
            ("power", "begin", "sign", "number", "end"),
            ("power", "sign", "number"),
            ("subscript", "number"),
            ("subscript", "begin", "number", "end"),
        ):
            if tuple(kinds[: len(shape)]) == shape:
                return place + len(shape)
        is_figure = kinds[:1] == ["number"] and not self.found[place].has_gap  # `m2`
        return place + (is_figure and not is_closed) - (is_closed and not is_figure)

    def _take_other(self, place: int) -> int:
        token = self.found[place]
        if token.kind in ("open", "close", "begin", "end", "comma", "degree"):
            return place + 1
        if token.kind in ("sign", "slash", "times"):
            self._is_bad = not self._is_between_words(place)
            return place + 1
        self._is_bad = True
        return place + 1

    def _is_between_words(self, place: int) -> bool:
        """Whether an operator only joins words: `km/h`, `5-year`, `$5/day`, a dash in prose."""
        token = self.found[place]
        if place == 0 or place + 1 == len(self.found):
            return False
        before, after = self.found[place - 1], self.found[place + 1]
        if after.kind != "word" or token.text == "+":
            return False
        is_after_amount = bool(self._amounts) and self._amounts[-1].end == place
        if token.kind == "slash":
            return before.kind == "word" or is_after_amount
        if token.kind == "times":
            return before.kind == "word" and bool(self._amounts) and is_unit(after)
        is_long = len(after.text) > 1
        return is_long and (before.kind == "word" or is_after_amount or before.kind == "end")


def _without_asides(found: list[Token]) -> list[Token]:
    """Return the tokens without remarks in round brackets, if a number stands outside them."""
    kept: list[Token] = []
    aside: list[Token] = []
    for token in found:
        if aside:
            aside.append(token)
            if token.kind == "close":
                if not any(one.kind == "word" and len(one.text) > 1 for one in aside):
                    kept += aside
                aside = []
        elif token.text == "(" and token.has_gap and any(one.kind == "number" for one in kept):
            aside = [token]
        else:
            kept.append(token)
    return kept + aside


def _unquoted(text: str) -> str:
    for opening, closing in ("''", '""', "“”", "‘’"):
        if len(text) > 1 and text[0] == opening and text[-1] == closing:
            return text[1:-1].strip()
    return text
