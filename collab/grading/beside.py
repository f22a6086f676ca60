"""What stands beside a number: percent signs, scales, units, and words that make it another."""

from collections.abc import Sequence
from fractions import Fraction

from collab.grading.lexing import Token

_PERCENT_WORDS = frozenset({"percent", "percents", "pct"})
SCALES = {
    **dict.fromkeys(("ten", "tens"), 10),
    **dict.fromkeys(("dozen", "dozens"), 12),
    **dict.fromkeys(("hundred", "hundreds"), 10**2),
    **dict.fromkeys(("thousand", "thousands"), 10**3),
    **dict.fromkeys(("lakh", "lakhs"), 10**5),
    **dict.fromkeys(("million", "millions", "mn"), 10**6),
    **dict.fromkeys(("crore", "crores"), 10**7),
    **dict.fromkeys(("billion", "billions", "bn"), 10**9),
    **dict.fromkeys(("trillion", "trillions"), 10**12),
}
_EASTERN_SCALES = {
    **dict.fromkeys("十拾십", 10),
    **dict.fromkeys("百佰백", 10**2),
    **dict.fromkeys("千仟천", 10**3),
    **dict.fromkeys("万萬만", 10**4),
    **dict.fromkeys("亿億억", 10**8),
    **dict.fromkeys("兆조", 10**12),
}
_UNITS_OF_ONE_LETTER = frozenset("mgshlLNWVJ")
_UNITS_OF_TWO_LETTERS_LISTED = (
    "cm mm km nm kg mg lb oz ft in yd mi ml mL dl cl hr hl am pm AM PM ms ns kW MW Hz kN kJ "
    "Pa GB MB KB kB TB cc qt pt"
)
_UNITS_OF_TWO_LETTERS = frozenset(_UNITS_OF_TWO_LETTERS_LISTED.split())
_FUNCTIONS_LISTED = "sin cos tan cot sec csc log ln exp sqrt mod max min det gcd lcm"
FUNCTIONS = frozenset(_FUNCTIONS_LISTED.split())
_WEIGHTS_AND_LENGTHS = ("千克", "千米", "千瓦", "千卡", "百分", "兆瓦", "兆赫", "兆字")  # kg, km...
_HIDDEN_LISTED = (
    "half halves quarter quarters thirds fifths sixths eighths tenths hundredths thousandths "
    "millionths twice thrice double triple squared cubed factorial minus plus negative over under "
    "times divided not than"
)
HIDDEN_NUMBERS = frozenset(_HIDDEN_LISTED.split())
"""Words that make another number of the one beside them."""

_BEFORE_LISTED = "times over under than not minus plus negative twice thrice double triple"
ONLY_BEFORE_NUMBERS = frozenset(_BEFORE_LISTED.split())
"""Those of them that do so only right before one: `18 times` is a count."""

_FRACTIONS_LISTED = "half halves quarter quarters thirds fifths sixths eighths tenths hundredths"
FRACTION_WORDS = frozenset(_FRACTIONS_LISTED.split())
"""Those of them that may add to a number from afar: `5 and a half`."""


def read_factor(found: Sequence[Token], place: int) -> tuple[Fraction, int, bool]:
    """Read what multiplies the number before a token: percent, degrees, a scale or several.

    Returns:
        The factor, the index after its last token, and whether degrees were read.
    """
    factor, is_wrapped = Fraction(1), _is_wrapped(found, place)
    start = place
    place += is_wrapped  # `\\text{ million}`
    if end := _end_of_percent(found, place):
        return Fraction(1, 100), end, False
    if end := _end_of_degrees(found, place):
        return factor, end, True
    while place < len(found) and (scale := _scale(found[place])):
        factor, place = factor * scale, place + 1
    return factor, start if factor == 1 else place, False


def _is_wrapped(found: Sequence[Token], place: int) -> bool:
    """Whether braces open right before a scale or a percent sign."""
    if place + 1 >= len(found) or found[place].kind != "begin":
        return False
    return bool(_scale(found[place + 1]) or _end_of_percent(found, place + 1))


def _scale(token: Token) -> int:
    if token.kind != "word":
        return 0
    if token.text[0] in _EASTERN_SCALES:
        return _eastern_scale(token.text)
    return SCALES.get(token.text.casefold(), 0)


def _eastern_scale(text: str) -> int:
    """Return what a run that begins with scales multiplies by: a million for `百万个`."""
    factor = 1
    while text and text[0] in _EASTERN_SCALES and not text.startswith(_WEIGHTS_AND_LENGTHS):
        factor, text = factor * _EASTERN_SCALES[text[0]], text[1:]
    return factor if factor > 1 else 0


def _end_of_percent(found: Sequence[Token], place: int) -> int:
    """Return the index after a percent sign or word; 0 if there is none."""
    if place >= len(found):
        return 0
    if found[place].kind == "percent" or found[place].text.casefold() in _PERCENT_WORDS:
        return place + 1
    names = [token.text.casefold() for token in found[place : place + 2]]
    return place + 2 if names == ["per", "cent"] else 0


def _end_of_degrees(found: Sequence[Token], place: int) -> int:
    """Return the index after a sign of degrees and its scale; 0 if there is none."""
    kinds = [token.kind for token in found[place : place + 4]]
    is_raised = kinds[:1] == ["power"]
    kinds, place = kinds[is_raised:], place + is_raised
    if kinds[:2] == ["begin", "degree"]:
        place += 3
    elif kinds[:1] == ["degree"]:
        place += 1
    else:
        return 0
    is_named = place < len(found) and found[place].text in ("C", "F", "K")
    return place + is_named


def is_unit(word: Token) -> bool:
    """Whether a word after a number only names what is counted, and is no variable."""
    name = word.text
    if word.is_eastern:
        return True
    if word.has_gap:
        return len(name) > 1 or name in _UNITS_OF_ONE_LETTER or name in ("a", "A", "I")
    if len(name) == 1:
        return name in _UNITS_OF_ONE_LETTER
    if len(name) == 2:
        return name in _UNITS_OF_TWO_LETTERS or not name.isascii()
    return name not in FUNCTIONS
