"""The signs, letters and commands that a statement is written in, and what they are to a reader."""

from typing import Literal

Kind = Literal[
    "number",
    "unreadable",
    "vulgar",
    "word",
    "command",
    "frac",
    "sign",
    "times",
    "slash",
    "power",
    "raised",
    "subscript",
    "relation",
    "comma",
    "open",
    "close",
    "begin",
    "end",
    "percent",
    "degree",
]
"""`raised` is a run of superscript digits, `relation` an equals sign, `begin` and `end` are plain
braces, `unreadable` is what makes a number of what stands beside it into something else."""

MINUSES = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
PLAIN: dict[int, str] = {
    **{code: chr(narrow) for code, narrow in WIDE.items()},
    **{ord(minus): "-" for minus in MINUSES},
}
VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅐": (1, 7),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
    "⅑": (1, 9),
    "⅒": (1, 10),
}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")

FIGURES = "".join(VULGAR) + "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"  # letters to Python, and none to a reader
EASTERN = r"\u2e80-\u9fff\uac00-\ud7af"
SIGNS: dict[str, Kind] = {
    "+": "sign",
    "-": "sign",
    "/": "slash",
    "\u2044": "slash",
    "\u2215": "slash",
    "\u00d7": "times",
    "\u00b7": "times",
    "\u22c5": "times",
    "^": "power",
    "_": "subscript",
    "=": "relation",
    "\u2248": "relation",
    ",": "comma",
    ";": "comma",
    "\u3001": "comma",
    "(": "open",
    "[": "open",
    ")": "close",
    "]": "close",
    "{": "begin",
    "}": "end",
    "%": "percent",
    "\u00b0": "degree",
    "\u00ba": "degree",
}
UNREADABLE = frozenset(
    "<>|!:&#~'\"\u2019\u201d\u2032\u2033\u00b1\u221a\u2014\u00f7\u2308\u2309\u230a\u230b"
)
QUIET = frozenset(
    ":!~'\"\u2019\u201d\u2032\u2033&#\u2014"
)  # these part words, and hurt only beside a digit
COMMANDS: dict[str, Kind] = {
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac", "sfrac", "nicefrac"), "frac"),
    **dict.fromkeys(("times", "cdot", "ast"), "times"),
    **dict.fromkeys(("approx", "simeq", "doteq"), "relation"),
    "%": "percent",
    "{": "open",
    "}": "close",
    "lbrace": "open",
    "\\": "comma",
    "newline": "comma",
    "rbrace": "close",
    **dict.fromkeys(("degree", "circ"), "degree"),
}
ARROWS = frozenset("\u2192\u21d2\u27f9\u27f6\u2234")  # these only lead on
CURRENCIES = frozenset(["$", "€", "£", "¥", "₹"])
CURRENCY_COMMANDS = frozenset(["$", "euro", "pounds", "textdollar", "yen"])
_SILENT_LISTED = (
    "left right displaystyle textstyle text textbf textit textrm textsf texttt textnormal "
    "mathrm mathbf mathit mathsf mathtt mathbb mbox hbox rm bf it operatorname boldsymbol bm "
    "underline emph boxed fbox big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr "
    "large Large LARGE huge Huge small ( ) [ ] !"
)
SILENT = frozenset(_SILENT_LISTED.split())
_SPACES_LISTED = ", ; : quad qquad therefore space thinspace enspace hspace"
SPACES = frozenset(_SPACES_LISTED.split()) | {" ", "\n", "\t"}

NAMED = frozenset(["infty", "emptyset", "varnothing"])
