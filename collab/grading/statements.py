r"""What number a statement gives: one, several, none, or one that cannot be read.

A statement is what stands in a box or after "the answer is": `18`, `x = 18`, `9 eggs * $2 = $18`,
`18 dollars, since 20 - 2 = 18`. Of a chain of equations the last side counts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collab.grading.beside import FRACTION_WORDS
from collab.grading.lexing import Token, tokens
from collab.grading.readings import Number, Reading
from collab.grading.sides import Side
from collab.grading.surroundings import NUMBER_WORDS

MAX_LENGTH = 2_000
"""Longest statement that is read, in characters."""

_AND = frozenset({"and", "和", "及"})
_OR = frozenset({"or", "或", "或者"})
_EASTERN_NUMERALS = frozenset("一二三四五六七八九十百千万零两")
_QUOTES = ("''", '""', "\u201c\u201d", "\u2018\u2019")
_CLOSING = {"(": ")", "[": "]", r"\{": r"\}", r"\lbrace": r"\rbrace"}
_REASONS = frozenset({"because", "since"})
_TORN_GROUPS = re.compile(r"(?<![\d.,])\d{1,3},\s+0\d\d(?!\d)")  # `1, 000`
_REFUSALS = frozenset({"not", "rather", "instead", "unlike"})
_DETACHED_LISTED = "third fourth fifth sixth seventh eighth ninth tenth"
_DETACHED_FRACTIONS = frozenset(_DETACHED_LISTED.split())
_BOUNDS_LISTED = "more less fewer above below higher lower greater smaller over under"
_BOUNDS = frozenset(_BOUNDS_LISTED.split())
_ARTICLES = frozenset({"is", "a", "an", "the", "about", "exactly", "only", "just", "equal", "to"})


def read_number(statement: str) -> Reading:
    """Return the number that a short statement gives, or why there is none."""
    statement = _unquoted(statement.strip())
    if len(statement) > MAX_LENGTH or _TORN_GROUPS.search(statement):
        return "unreadable"
    found = _without_asides(tokens(statement))
    if not found:
        return "words"
    parts = [
        _read_part(part)
        for number, part in enumerate(_parts(found))
        if number == 0 or part[1][0].text.casefold() not in _REFUSALS
    ]
    reading = _combined(parts, found)
    if isinstance(reading, Number) and not _is_balanced(found):
        return "unreadable"
    return reading


def _is_balanced(found: Sequence[Token]) -> bool:
    """Whether every bracket is closed by one of its kind."""
    opened: list[str] = []
    for token in found:
        if token.kind == "open":
            opened.append(_CLOSING[token.text])
        elif token.kind == "close" and (not opened or opened.pop() != token.text):
            return False
    return not opened


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
        is_open: It has no number of its own, but a variable or a part of one: `x`, `a half`.
        is_added: It has none, and changes the one it is joined to: `and one-third`, `or more`.
    """

    reading: Reading
    joined_by: str = ""
    has_unit: bool = False
    has_lead: bool = False
    is_ordinal: bool = False
    is_open: bool = False
    is_added: bool = False


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
    for token in found:
        if token.kind == "relation":
            sides.append([])
        else:
            sides[-1].append(token)
    read = [Side(side) for side in sides]
    if _contradicts(found, read):
        return _Part("unreadable", joined_by)
    counting = next((side for side in reversed(read) if side.reading != "words"), read[-1])
    if not isinstance(counting.reading, Number):
        is_added = counting.reading == "words" and _is_added(joined_by, found)
        return _Part(counting.reading, joined_by, is_open=_is_open(found), is_added=is_added)
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


def _contradicts(found: Sequence[Token], sides: Sequence[Side]) -> bool:
    """Whether two whole numbers are said to be equal that are not: `5 = 4`."""
    if not any(token.text in ("=", ":=") for token in found):
        return False
    bare = [side for side in sides if isinstance(side.reading, Number)]
    bare = [side for side in bare if not side.has_unit and not side.has_lead]  # not `1 km = 1000 m`
    values = {side.reading.value for side in bare if isinstance(side.reading, Number)}
    return len(values) > 1 and all(value.denominator == 1 for value in values)


def _is_added(joined_by: str, found: Sequence[Token]) -> bool:
    names = [token.text.casefold() for token in found if token.kind == "word"]
    first = next((name for name in names if name not in _ARTICLES), "")
    if joined_by == "or":
        return first in _BOUNDS
    return joined_by == "and" and (first in NUMBER_WORDS or first in _DETACHED_FRACTIONS)


def _is_open(found: Sequence[Token]) -> bool:
    words = [token for token in found if token.kind == "word"]
    is_variable = bool(words) and all(token.is_name for token in words)
    return is_variable or any(token.text.casefold() in FRACTION_WORDS for token in words)


def _is_bare(counting: Side, sides: Sequence[Side]) -> bool:
    """Whether nothing but a variable and an equals sign is beside the number."""
    rest = [token for side in sides if side is not counting for token in side.found]
    is_variable = not rest or (rest[0].is_name and len({token.kind for token in rest[1:]}) <= 2)
    clean = not counting.has_unit and not counting.has_lead and not counting.is_ordinal
    return clean and is_variable and not any(token.kind == "sign" for token in rest)


def _combined(parts: Sequence[_Part], found: Sequence[Token]) -> Reading:
    if any(part.reading == "unreadable" for part in parts):
        return "unreadable"
    if any(part.reading == "several" for part in parts):
        return "several"
    numbered = [part for part in parts if isinstance(part.reading, Number)]
    if numbered and any(part.is_open or part.is_added for part in parts):
        return "unreadable"
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
    """Whether the words begin with a number that is spelt out."""
    words = [token.text.casefold() for token in found if token.kind == "word"]
    named = next((word for word in words if word not in _ARTICLES), "")
    return named in NUMBER_WORDS or (bool(named) and named[0] in _EASTERN_NUMERALS)


def _without_asides(found: list[Token]) -> list[Token]:
    """Return the tokens without reasons and remarks in brackets, if a number stands outside them.

    Another number that is offered there, `5 (or 6)`, is no remark.
    """
    kept: list[Token] = []
    aside: list[Token] = []
    for place, token in enumerate(found):
        name = token.text.casefold()
        if not aside and any(one.kind == "number" for one in kept):
            rest = found[place + 1 :]
            if name in _REASONS or (name == "as" and any(one.kind == "relation" for one in rest)):
                break
        if aside:
            aside.append(token)
            if token.kind == "close":
                words = [one.text.casefold() for one in aside if one.kind == "word"]
                if not any(len(word) > 1 for word in words) or _OR & {*words}:
                    kept += aside
                aside = []
        elif token.text == "(" and token.has_gap and any(one.kind == "number" for one in kept):
            aside = [token]
        else:
            kept.append(token)
    return kept + aside


def _unquoted(text: str) -> str:
    for pair in _QUOTES:
        if len(text) > 1 and text[0] == pair[0] and text[-1] == pair[1]:
            return text[1:-1].strip()
    return text
