r"""The last number of a text that marks no answer, as it stands there.

Each number is taken with what belongs to it (its sign, its fraction, its percent sign). What would
be torn out of something else (`5:30`, `2^3`, `\sqrt{2}`) is returned with it, so that no one takes
the part for the whole.
"""

import re

from collab.grading.beside import is_unit
from collab.grading.lexing import Token, tokens
from collab.grading.notation import QUIET
from collab.grading.numerals import AmountReader
from collab.grading.surroundings import AFTER_AT_ONCE

_LONGEST_LINE = 10_000
_LONGEST_AMOUNT = 16
_TURNS = 50
_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕-⅞]")
_CHANGING = frozenset({"not", "never", "minus", "negative", "than"})
_COMPARING_LISTED = "le leq ge geq lt gt ne neq pm mp leqslant geqslant sim"
_COMPARING = frozenset(_COMPARING_LISTED.split())
_AFTER = AFTER_AT_ONCE - {"to"}  # `12 to each` ends a sentence of prose
_EXCLAMATION = re.compile(r"!(?=\s*(?:$|\n|[A-Z]))")


def last_number(text: str) -> str | None:
    """Return the last number of `text`, or what holds it; `None` if there is none.

    Ordinals (`4th`), names (`CO2`) and exponents of units (`cm^2`) are no numbers. Only the last
    characters of an overlong line are looked at, and only the last lines that hold a digit.
    """
    looked_at = 0
    for line in reversed(text.splitlines()):
        if _DIGIT.search(line) is None:
            continue
        line = _EXCLAMATION.sub(" ", line[-_LONGEST_LINE:])
        if found := _LineReader(line).last():
            return found
        looked_at += 1
        if looked_at == _TURNS:
            return None
    return None


class _LineReader:
    def __init__(self, line: str) -> None:
        self._line = line
        self._tokens = _without_bullet(tokens(line))
        self._reader = AmountReader(self._tokens)

    def last(self) -> str | None:
        figures = ("number", "unreadable", "vulgar")
        places = [place for place, token in enumerate(self._tokens) if token.kind in figures]
        return next((found for place in reversed(places) if (found := self._around(place))), None)

    def _around(self, place: int) -> str | None:
        """Return the number at a token, with what belongs to it; `None` to look further back."""
        token = self._tokens[place]
        if token.kind == "unreadable":
            return self._run(place) if _DIGIT.search(token.text) else None
        if self._is_of_a_name(place):
            return None
        start, end = self._amount_around(place)
        if span := self._listed(place) or self._compared(start, end):
            return self._said(*span)
        if self._is_inside(start) or self._is_argument(place):
            return self._run(place)
        after = self._tokens[end] if end < len(self._tokens) else None
        if after is None or after.has_gap:
            return self._said(start, end)
        if after.kind == "word":
            if after.text in ("st", "nd", "rd", "th"):
                return None
            return self._said(start, end) if is_unit(after) else self._said(start, end + 1)
        if after.kind in ("power", "subscript", "raised", "command", "unreadable"):
            return self._run(place)
        return self._said(start, end)

    def _listed(self, place: int) -> tuple[int, int] | None:
        """Return where a list of numbers in brackets begins and ends, of which a token is one."""
        kinds = {"number", "sign", "comma", "vulgar"}
        start, end = place, place
        while start > 0 and self._tokens[start].kind in kinds:
            start -= 1
        while end < len(self._tokens) - 1 and self._tokens[end].kind in kinds:
            end += 1
        is_closed = self._tokens[start].kind == "open" and self._tokens[end].kind == "close"
        has_comma = any(one.kind == "comma" for one in self._tokens[start:end])
        return (start, end + 1) if is_closed and has_comma else None

    def _compared(self, start: int, end: int) -> tuple[int, int] | None:
        """Return a number with what makes another of it: `minus 5`, `7 ± 2`, `x < 4`, `4 mil`."""
        before = self._tokens[start - 1] if start else None
        after = self._tokens[end] if end < len(self._tokens) else None
        first, last = start, end
        if before is not None and self._changes(before):
            first -= 1
        elif before is not None and before.text in ("to", "through") and start > 1:
            first -= 2 if self._tokens[start - 2].kind == "number" else 0
        if after is not None and after.kind == "word" and after.text.casefold() in _AFTER:
            last += 1
        return (first, last) if (first, last) != (start, end) else None

    def _changes(self, before: Token) -> bool:
        if before.kind == "word":
            return before.text.casefold() in _CHANGING
        is_sign = before.kind == "unreadable" and before.text not in QUIET
        return is_sign or (before.kind == "command" and before.text[1:] in _COMPARING)

    def _amount_around(self, place: int) -> tuple[int, int]:
        """Return where the longest amount that holds a token begins and ends."""
        for start in range(max(place - _LONGEST_AMOUNT, 0), place):
            if self._reader.begins(start):
                amount = self._reader.read(start)
                if amount and amount.end > place:
                    return start, amount.end
        amount = self._reader.read(place)
        return place, amount.end if amount else place + 1

    def _is_of_a_name(self, place: int) -> bool:
        """Whether a digit belongs to a word before it: `CO2`, `cm^2`, `x_1`."""
        before = place - 1
        while before >= 0 and self._tokens[before].kind in ("power", "subscript", "begin", "end"):
            before -= 1
        if before < 0 or self._tokens[before].kind != "word" or self._tokens[before].is_eastern:
            return False
        if before == place - 1:
            return not self._tokens[place].has_gap
        kinds = {token.kind for token in self._tokens[before + 1 : place]}
        return bool(kinds & {"power", "subscript"})

    def _is_inside(self, place: int) -> bool:
        """Whether a number is an exponent, or touches a mark that makes it something else."""
        before = self._tokens[place - 1] if place else None
        if before is None:
            return False
        if before.kind in ("power", "subscript", "command"):
            return True
        return before.kind == "unreadable" and not self._tokens[place].has_gap

    def _is_argument(self, place: int) -> bool:
        r"""Whether a number is in the group of a command, as in `\sqrt{2}`."""
        depth = 0
        for one in range(place - 1, max(place - _LONGEST_AMOUNT, -1), -1):
            kind = self._tokens[one].kind
            depth += (kind == "end") - (kind == "begin")
            if depth < 0:
                outside = self._tokens[one - 1].kind if one else ""
                start, end = self._amount_around(place)
                is_read = start < one < end
                return outside in ("command", "power", "frac", "end") and not is_read
        return False

    def _run(self, place: int) -> str:
        """Return everything around a token up to the next gaps."""
        start, end = place, place + 1
        while start > 0 and not self._tokens[start].has_gap:
            start -= 1
        while end < len(self._tokens) and not self._tokens[end].has_gap:
            end += 1
        return self._said(start, end)

    def _said(self, start: int, end: int) -> str:
        return self._line[self._tokens[start].start : self._tokens[end - 1].end]


def _without_bullet(found: list[Token]) -> list[Token]:
    """Return a line's tokens without the dash of a list."""
    is_listed = len(found) > 1 and found[0].text == "-" and found[1].has_gap
    return found[1:] if is_listed else found
