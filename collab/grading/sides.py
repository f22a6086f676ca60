"""One side of an equation, or all of a statement without one: its number, and what is beside it."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from collab.grading.beside import FUNCTIONS, HIDDEN_NUMBERS, ONLY_BEFORE_NUMBERS, is_unit
from collab.grading.lexing import Token
from collab.grading.numerals import Amount, AmountReader
from collab.grading.readings import Number, Reading
from collab.grading.surroundings import PERCENT_OF, is_led_in, is_led_out


class Side:
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
        is_followed = any(place >= last.end for place in self._words)
        return is_followed or (last.has_unit and not self._is_degree(last))

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
        if amount is None or self._is_glued(place, amount.end):
            self._is_bad = True
            return place + 1
        is_said_negative = self._words == [0] and self._is_minus(place - 1)
        if not is_said_negative and (
            self._is_counted_over(place) or not self._is_plainly_led(place, amount)
        ):
            self._is_bad = True
            return place + 1
        if is_said_negative:
            amount = replace(amount, written=-amount.written)
        elif place and self.found[place - 1].text.endswith(PERCENT_OF):
            amount = replace(amount, factor=amount.factor * Fraction(1, 100))
        self._amounts.append(amount)
        return amount.end

    def _is_minus(self, place: int) -> bool:
        return self.found[place].text.casefold() == "minus"

    def _is_plainly_led(self, place: int, amount: Amount) -> bool:
        """Whether the words before the first number, and those read with one, leave it as it is."""
        read = [token for token in self.found[place : amount.end] if token.kind == "word"]
        if not all(is_led_out(token, is_next=False) for token in read):
            return False
        words = [self.found[one] for one in self._words]
        is_enclosed = place > 0 and self.found[place - 1].kind == "open"
        return bool(self._amounts) or is_led_in(words, self.found[place], is_enclosed=is_enclosed)

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
        r"""Whether a name stands right before a number: `x5`, `x 5`, `\mathbf{x}5`."""
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
        return any(word in HIDDEN_NUMBERS for word in words)

    def _take_word(self, place: int) -> int:
        self._words.append(place)
        changes = self._amounts != [] and self._changes_number(place)
        self._is_bad = changes or self._is_function(place)
        place += 1
        if self._amounts or self._is_index(place):
            return self._after_exponent(place)
        return place

    def _changes_number(self, place: int) -> bool:
        word = self.found[place]
        is_next = self._amounts[-1].end == place
        if not is_led_out(word, is_next=is_next):
            return True
        if is_next and not self._amounts[-1].is_ordinal and not is_unit(word):
            return True
        name = word.text.casefold()
        if name in ONLY_BEFORE_NUMBERS:
            return self._reader.begins(place + 1)
        return name in HIDDEN_NUMBERS

    def _is_function(self, place: int) -> bool:
        """Whether a word is applied to a number: `sqrt(16)`, `log 5`."""
        after = place + 1
        while after < len(self.found) and self.found[after].kind in ("begin", "end"):
            after += 1
        is_applied = after < len(self.found) and self.found[after].kind == "open"
        is_close = is_applied and not self.found[after].has_gap
        if self._reader.begins(after + is_applied):
            return is_close or self.found[place].text in FUNCTIONS
        return False

    def _is_index(self, place: int) -> bool:
        """Whether a variable's index follows: `x_1`."""
        return place < len(self.found) and self.found[place].kind == "subscript"

    def _after_exponent(self, place: int) -> int:
        """Return the index after the exponent of a unit, or the index of a variable."""
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
        is_figure = kinds[:1] == ["number"] and not self.found[place].has_gap
        is_figure = is_figure and self.found[place].text in ("2", "3")  # `m2`, and not `5h30`
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
