r"""Whether two texts say literally the same, of prose and of formulas.

Only what never carries a meaning is set aside: blanks, dollar signs, bold type, `\left` and
`\right`, the command around words, and which of `\frac`, `\dfrac` and `\tfrac` it is. Brackets,
signs and the case of letters in formulas count.
"""

import re

from collab.grading.lexing import plain

_TOKENS = re.compile(r"\d+(?:\.\d+)?|\\[A-Za-z]+|\\.|[^\W\d_]+|\S|(\s+)", re.DOTALL)
_FONTS_LISTED = (
    "text textbf textit textrm textsf texttt textnormal mathrm mathbf mathit mathsf "
    "operatorname mbox hbox boldsymbol bm emph"
)
_FONTS = frozenset(_FONTS_LISTED.split())
_SILENT_LISTED = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle quad "
    "qquad ( ) [ ] , ; : ! $"
)
_SILENT = frozenset(_SILENT_LISTED.split()) | {" ", "\n", "\t"}
_SAME = {
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac"), r"\frac"),
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\neq": r"\ne",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
}
_TAKES_ARGUMENTS = {r"\frac": 2, r"\sqrt": 1, "^": 1, "_": 1}
_CUT_IN = frozenset({r"\frac", r"\sqrt"})  # `2^10` is meant, and written, for `2^{10}`
_FORMULA = re.compile(r"[\\^_=+*/<>|{}]|\d\s*[^\W\d_](?![^\W\d_])|(?<![^\W\d_])[^\W\d_]\d")
_LONG_WORD = re.compile(r"[^\W\d_]{3}")
_PAIRS = ("\u201c\u201d", "\u2018\u2019", r"\(\)", r"\[\]")  # one character or two a side
_ENCLOSING = ("**", "__", "*", "_", "`", '"', *_PAIRS[:2], "$$", "$", *_PAIRS[2:])
_MAX_LENGTH = 20_000


def same_text(answer: str, expected: str) -> bool:
    """Return whether both texts say literally the same."""
    if max(len(answer), len(expected)) > _MAX_LENGTH:
        return answer.strip() == expected.strip()
    return folded(answer) == folded(expected)


def other_brackets(answer: str, expected: str) -> bool:
    r"""Return whether both are lists in brackets of different kinds: `(1,2)` and `\{1,2\}`."""
    one, two = _brackets(answer), _brackets(expected)
    return one is not None and two is not None and one != two


def folded(text: str) -> tuple[str, ...]:
    """Return what a text says, as tokens without what carries no meaning."""
    text = _unwrapped(plain(text))
    found = _unfonted([_SAME.get(token, token) for token in _split(text)])
    if not _FORMULA.search("".join(found)) and any(_LONG_WORD.match(one) for one in found):
        return tuple(token.casefold() for token in found)
    letters: list[str] = []
    for token in found:
        letters += list(token) if token.isalpha() else [token]
    return tuple(_ungrouped(_argued(letters)))


def _unwrapped(text: str) -> str:
    """Return `text` without a final dot and the mark-up around all of it."""
    text = text.strip()
    while True:
        inner = text
        for around in _ENCLOSING:
            half = len(around) // 2 if around in _PAIRS else len(around)
            opening, closing = around[:half], around[-half:]
            body = inner[half : len(inner) - half]
            is_around = inner.startswith(opening) and inner.endswith(closing)
            if len(inner) > 2 * half and is_around and opening not in body and closing not in body:
                inner = body.strip()
        if inner.endswith(".") and not inner.endswith(".."):
            inner = inner[:-1].rstrip()
        if inner == text:
            return text
        text = inner


def _split(text: str) -> list[str]:
    found = (match.group() for match in _TOKENS.finditer(text) if match.group(1) is None)
    kept = []
    for token in found:
        is_silent = token == "$" or (token[0] == "\\" and token[1:] in _SILENT)
        if not is_silent and token != "~":
            kept.append(token)
    return kept


def _unfonted(found: list[str]) -> list[str]:
    r"""Return the tokens without `\text` and its like, and without the braces of these."""
    kept: list[str] = []
    closings: list[bool] = []  # of each open brace, whether it was left out
    is_font = False
    for token in found:
        if token[0] == "\\" and token[1:] in _FONTS:
            is_font = not kept or kept[-1] not in _TAKES_ARGUMENTS
            continue
        if token == "{":
            closings.append(is_font)
            if not is_font:
                kept.append(token)
        elif token == "}" and closings:
            if not closings.pop():
                kept.append(token)
        else:
            kept.append(token)
        is_font = False
    return kept


def _argued(found: list[str]) -> list[str]:
    r"""Return the tokens with `\frac12` cut where LaTeX cuts it."""
    kept: list[str] = []
    wanted = 0
    depth = 0
    for token in found:
        if depth == 0 and wanted and token.isdecimal() and len(token) > 1:
            taken = min(wanted, len(token))
            kept += [*token[:taken]]
            if token[taken:]:
                kept.append(token[taken:])
            wanted = 0
            continue
        kept.append(token)
        if token == "{":
            depth += 1
        elif token == "}":
            depth = max(depth - 1, 0)
            wanted = max(wanted - 1, 0) if depth == 0 else wanted
        elif depth == 0:
            is_cutting = token in _CUT_IN
            wanted = _TAKES_ARGUMENTS[token] if is_cutting else max(wanted - 1, 0)
    return kept


def _ungrouped(found: list[str]) -> list[str]:
    """Return the tokens without braces around a single one."""
    kept: list[str] = []
    for token in found:
        kept.append(token)
        if token == "}" and len(kept) > 2 and kept[-3] == "{" and kept[-2] not in "{}":
            kept[-3:] = [kept[-2]]
    return kept


def _brackets(text: str) -> tuple[str, str] | None:
    """Return the outermost brackets of a list, or `None` where there is none."""
    found = folded(text)
    if len(found) < 3 or found[0] not in ("(", "[", r"\{") or "," not in found:
        return None
    depth = 0
    for place, token in enumerate(found):
        depth += (token in ("(", "[", r"\{")) - (token in (")", "]", r"\}"))
        if depth == 0:
            is_all = place == len(found) - 1
            return (found[0], token) if is_all else None
    return None
