r"""The tokens of a short statement: numerals, words, signs and commands of LaTeX.

What only dresses a number (dollar signs, bold type, `\left`, thin spaces) leaves no token, so a
reader sees the same for `-\$20`, `$-20$` and `**-20**`.
"""

import re
from fractions import Fraction
from typing import NamedTuple
from unicodedata import category

from collab.grading.notation import (
    ARROWS,
    COMMANDS,
    CURRENCIES,
    CURRENCY_COMMANDS,
    EASTERN,
    FIGURES,
    NAMED,
    PLAIN,
    QUIET,
    SIGNS,
    SILENT,
    SPACES,
    SUPERSCRIPTS,
    UNREADABLE,
    VULGAR,
    Kind,
)

MAX_DIGITS = 400
"""Longest numeral that is read."""

_EXPONENT = r"(?:[eE][+-]?\d{1,3}(?![\w.]))?"
_SEPARATOR = r"(?:,\\!|\{,\}|\{\\,\}|\\[,;:! ]|[,'\u2019_~\u00a0\u2009\u202f]|[ ](?=\d{3}(?!\d)))"
_NUMERAL = (
    rf"[1-9]\d{{0,2}}(?P<separator>{_SEPARATOR})\d{{3}}(?:(?P=separator)\d{{3}})*(?!\d)"
    rf"(?:\.\d+)?{_EXPONENT}"
    rf"|[1-9]\d?(?:,\d\d)+,\d{{3}}(?!\d)(?:\.\d+)?{_EXPONENT}"  # grouped as in India
    rf"|(?:\d+(?:\.\d+)?|\.\d+){_EXPONENT}"
)
_TOKENS = re.compile(
    rf"(?P<numeral>{_NUMERAL})(?P<tail>(?:[.,'\u2019]\d+)*)"
    r"|(?P<command>\\(?:[A-Za-z]+\*?|.))"
    rf"|(?P<word>[^\W\d_{EASTERN}{FIGURES}]+)"
    rf"|(?P<character>[{EASTERN}]+)"
    r"|(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)"
    r"|(?P<stars>\*+)"
    r"|(?P<dots>\.{2,}|…)"
    r"|(?P<space>\s+|[-=]+>)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_BRACKETED_NUMERAL = re.compile(rf"(?:\d+(?:\.\d+)?|\.\d+){_EXPONENT}")
_INVISIBLE = frozenset("\ufe0e\ufe0f\u20e3")  # these choose how a digit is drawn
_OVER = re.compile(r"[ ]?[/\u2044\u2215]")
_REMARKS = re.compile(
    r"<<[^<>]*>>"  # GSM8K's notes of a calculator
    r"|</?(?:b|i|u|em|strong|p|br|span|div|code|answer)\s*/?>"
    r"|<(?:eos|pad|end_of_turn|eot|end_of_text)>\s*$",  # a tokenizer's own
    re.IGNORECASE,
)


class Token(NamedTuple):
    """One piece of a statement.

    Attributes:
        kind: What it is.
        text: As it stands there.
        start: Where it begins.
        has_gap: White space, or punctuation, stands before it.
        value: Of a numeral or a vulgar fraction.
        is_labelled: A colon stands before it.
    """

    kind: Kind
    text: str
    start: int
    has_gap: bool
    value: Fraction | None = None
    is_labelled: bool = False

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)

    @property
    def is_name(self) -> bool:
        """Whether it is a word of one letter, as variables are."""
        return self.kind == "word" and len(self.text) == 1 and not self.is_eastern

    @property
    def is_eastern(self) -> bool:
        """Whether it is of a script that puts no blanks between words."""
        return self.text >= "\u2e80"


def plain(text: str) -> str:
    """Return `text` with every minus a hyphen and every wide character narrow, as long as it is."""
    return text.translate(PLAIN)


def without_remarks(text: str) -> str:
    """Return `text`, as long as it is, with tags and a calculator's notes blanked out."""
    return _REMARKS.sub(lambda found: " " * len(found.group()), text) if "<" in text else text


def tokens(text: str) -> list[Token]:
    """Return the tokens of `text`, in time proportional to its length."""
    return _Lexer(without_remarks(plain(text))).run()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Token] = []
        self._has_gap = True
        self._has_colon = False
        self._depth = 0  # of brackets, where a comma parts numbers

    def run(self) -> list[Token]:
        place, end = 0, len(self._text)
        while place < end:
            found = _TOKENS.match(self._text, place)
            assert found is not None, "its last alternative takes any character"
            place = self._take(found)
        return self._found

    def _take(self, found: "re.Match[str]") -> int:
        match found.lastgroup:
            case "tail":
                return self._take_numeral(found)
            case "command":
                self._take_command(found)
            case "word" | "raised":
                self._add(found.lastgroup, found.group(), found.start())
            case "character":
                self._has_gap = True
                self._add("word", found.group(), found.start())
                self._has_gap = True
            case "stars":
                self._take_stars(found)
            case "dots":
                self._take_mark(found, is_quiet=not self._is_after_digit(found))
            case "space":
                self._has_gap = True
            case _:
                self._take_other(found)
        return found.end()

    def _add(self, kind: Kind, text: str, start: int, value: Fraction | None = None) -> None:
        self._found.append(Token(kind, text, start, self._has_gap, value, self._has_colon))
        self._has_gap = self._has_colon = False

    def _take_numeral(self, found: "re.Match[str]") -> int:
        text, start = found.group(), found.start()
        if self._depth and "," in text.replace("{,}", "").replace("\\,", ""):
            if not found.group("tail"):  # `(1,234)` is one number, or two
                self._add("unreadable", text, start)
                return found.end()
            first = _BRACKETED_NUMERAL.match(self._text, start)
            assert first is not None, "what was found begins with one"
            found, text = first, first.group()
            return self._add_number(text, text, start, first.end())
        separator = found.group("separator")
        is_mixed = separator == " " and _OVER.match(self._text, found.end())  # or is it 1100/101?
        if found.group("tail") or is_mixed:
            self._add("unreadable", text, start)
            return found.end()
        bare = text.replace(separator, "") if separator else text.replace(",", "")
        return self._add_number(text, bare, start, found.end())

    def _add_number(self, text: str, bare: str, start: int, end: int) -> int:
        if len(bare) > MAX_DIGITS:
            self._add("unreadable", text, start)
        else:
            self._add("number", text, start, Fraction(bare))
        return end

    def _take_command(self, found: "re.Match[str]") -> None:
        text, start = found.group(), found.start()
        name = text[1:]
        if kind := COMMANDS.get(name):
            self._depth += (kind == "open") - (kind == "close")
            self._add(kind, text, start)
        elif name in SPACES:
            self._has_gap = True
        elif name in CURRENCY_COMMANDS:
            self._take_currency()
        elif name in NAMED:
            self._add("word", text, start)
        elif name not in SILENT:
            self._add("command", text, start)

    def _take_stars(self, found: "re.Match[str]") -> None:
        """Tell `9 * 2` and `2**3` from `**18**`."""
        before = self._text[found.start() - 1 : found.start()]
        after = self._text[found.end() : found.end() + 1]
        is_beside_blanks = (not before or before.isspace(), not after or after.isspace())
        is_operator = all(is_beside_blanks) or (
            (before.isalnum() or before in {")", "}"}) and (after.isalnum() or after in {"(", "\\"})
        )
        if is_operator and before and after:
            self._add("times", found.group(), found.start())
        else:
            self._has_gap = self._has_gap or not is_beside_blanks[1]

    def _take_currency(self) -> None:
        """Leave no token, but part a word from a number: `US$5`."""
        self._has_gap = self._has_gap or bool(self._found and self._found[-1].kind == "word")

    def _take_mark(self, found: "re.Match[str]", *, is_quiet: bool) -> None:
        if is_quiet:
            self._has_gap = True
            self._has_colon = self._has_colon or found.group() == ":"
        else:
            self._add("unreadable", found.group(), found.start())

    def _take_other(self, found: "re.Match[str]") -> None:
        text, start = found.group(), found.start()
        if text in VULGAR:
            self._add("vulgar", text, start, Fraction(*VULGAR[text]))
        elif text in CURRENCIES:
            self._take_currency()
        elif text == "_" and self._is_emphasis(start):
            self._has_gap = True
        elif kind := SIGNS.get(text):
            self._depth += (kind == "open") - (kind == "close")
            self._depth = max(self._depth, 0)
            self._add(kind, text, start)
        elif text in UNREADABLE:
            is_quiet = text in QUIET and not self._is_beside_digit(found)
            self._take_mark(found, is_quiet=is_quiet)
        elif self._changes_number(text, start):
            self._add("unreadable", text, start)
        else:
            self._has_gap = True

    def _changes_number(self, text: str, start: int) -> bool:
        """Whether it is a sign of mathematics without a kind here, or one drawn over a digit."""
        kind = category(text)
        if kind in ("Mn", "Me"):
            is_over_digit = start > 0 and not self._text[start - 1].isalpha()
            return is_over_digit and text not in _INVISIBLE
        return (kind == "Sm" and text not in ARROWS) or text == "\u2030"

    def _is_emphasis(self, start: int) -> bool:
        before, after = self._text[start - 1 : start], self._text[start + 1 : start + 2]
        return not (before.isalnum() or before in {"}", ")"}) or not (
            after.isalnum() or after == "{"
        )

    def _is_after_digit(self, found: "re.Match[str]") -> bool:
        return self._text[found.start() - 1 : found.start()].isdecimal()

    def _is_beside_digit(self, found: "re.Match[str]") -> bool:
        """Whether a mark changes a number: `5:30`, `5!`, and a dash right before one."""
        after = self._text[found.end() : found.end() + 1]
        match found.group():
            case ":":  # a dash after it leads on, or is a sign: `Answer:- 5`
                return after == "-" or (self._is_after_digit(found) and after.isdecimal())
            case "\u2014":
                return after.isdecimal() and not self._is_after_digit(found)
            case "~":  # `~~5~~` is struck out
                return after == "~"
            case "&" | "#":
                return False
            case "!":
                return self._is_after_digit(found) or self._text[found.start() - 1] in ")}"
            case _:
                return self._is_after_digit(found) and after.isalnum()  # `5"` are inches


def exponent_of(text: str) -> int | None:
    """Return the number that superscript digits spell."""
    try:
        return int(text.translate(SUPERSCRIPTS)[:6])
    except ValueError:
        return None
