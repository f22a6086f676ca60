"""Units: what the generator writes between two questions to the policy.

A unit is a frozen value; its `scanner()` follows a stream of token texts and says where units
end. Scanners see text only, so the same unit serves every tokenizer and every backend.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

_BLANKS = (" ", "\n")


class UnitScanner(Protocol):
    """Follows the tokens of one proposal."""

    def feed(self, text: str) -> int | None:
        """Take the next token's text.

        Returns:
            The end of the unit that this token closes, as a count of tokens fed so far: the
            count without this token if the token already belongs to the next unit, the count
            with it if it is the unit's last. `None` while the unit is open.
        """
        ...


class TokenUnit(BaseModel):
    """A fixed number of tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["token"] = "token"
    size: int = Field(default=1, ge=1, description="Tokens per unit.")

    @property
    def max_tokens(self) -> int:
        """Most tokens one unit can have."""
        return self.size

    def scanner(self) -> UnitScanner:
        """Return a scanner at the start of a unit."""
        return _TokenScanner(self.size)


class WordUnit(BaseModel):
    r"""Tokens up to the next space or newline, wherever in a token it stands.

    A word ends before a token that starts with a space or a newline, and after one in which one of
    them follows other characters, such as `:\n`. The first token is taken whatever it is, so a
    blank line is glued to the word after it.

    References:
        MentorCollab, arXiv:2602.05307: the published word completion, at most 12 tokens.
        Deviation: there only a token that starts with a space or a newline begins a word. Many
        vocabularies put line breaks at the end of a token, so that ` is:`, a line break, `\[`, a
        line break and `12` were one word there, and the same text cut by two tokenizers had other
        words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["word"] = "word"
    max_tokens: int = Field(default=12, ge=1, description="Longest word, in tokens.")

    def scanner(self) -> UnitScanner:
        """Return a scanner at the start of a unit."""
        return _WordScanner(self.max_tokens)


class StepUnit(BaseModel):
    r"""Text up to and with a blank line, which may hide inside a token such as `.\n\n`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["step"] = "step"
    max_tokens: int = Field(default=512, ge=1, description="Longest step, in tokens.")
    delimiter: str = Field(default="\n\n", min_length=1, description="What closes a step.")

    def scanner(self) -> UnitScanner:
        """Return a scanner at the start of a unit."""
        return _StepScanner(self.max_tokens, self.delimiter)


Unit = Annotated[TokenUnit | WordUnit | StepUnit, Field(discriminator="kind")]


def first_unit_end(texts: Iterable[str], unit: Unit) -> int | None:
    """Return of how many of a proposal's tokens its first unit consists; `None` if it may go on."""
    scanner = unit.scanner()
    ends = (scanner.feed(text) for text in texts)
    return next((end for end in ends if end is not None), None)


class _TokenScanner:
    def __init__(self, size: int) -> None:
        self._size = size
        self._count = 0

    def feed(self, text: str) -> int | None:
        self._count += 1
        return self._count if self._count % self._size == 0 else None


class _WordScanner:
    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._count = 0
        self._start = 0
        self._has_begun = False
        self._is_over = False

    def feed(self, text: str) -> int | None:
        self._count += 1
        before = self._count - 1
        cut = None
        if before > self._start and (self._is_over or text[:1] in _BLANKS):
            cut = self._start = before
            self._has_begun = self._is_over = False
        self._take(text)
        if cut is None and self._count - self._start == self._max_tokens:
            cut = self._start = self._count
            self._has_begun = self._is_over = False
        return cut

    def _take(self, text: str) -> None:
        """Note whether the word's first letter and a blank after it have come."""
        rest = text if self._has_begun else text.lstrip(" \n")
        self._has_begun = self._has_begun or bool(rest)
        self._is_over = self._is_over or any(blank in rest for blank in _BLANKS)


class _StepScanner:
    def __init__(self, max_tokens: int, delimiter: str) -> None:
        self._max_tokens = max_tokens
        self._delimiter = delimiter
        self._count = 0
        self._start = 0
        self._text = ""

    def feed(self, text: str) -> int | None:
        self._count += 1
        self._text += text
        closed = self._delimiter in self._body()
        if closed or self._count - self._start == self._max_tokens:
            self._start = self._count
            self._text = ""
            return self._count
        return None

    def _body(self) -> str:
        """Return the step without what is in front of it: blanks and delimiters never close it."""
        body = self._text.lstrip()
        while body.startswith(self._delimiter):
            body = body.removeprefix(self._delimiter).lstrip()
        return body
