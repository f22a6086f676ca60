"""The letters of multiple-choice options that a statement names."""

import re

from collab.grading.lexing import plain

_MARKUP = re.compile(
    r"\\(?:text|textbf|textrm|mathrm|mathbf|boxed|fbox)(?=\s*\{)|\\[()\[\]]|[*_`$\s\"\u201c\u201d「」]+"
)
_IN_TEXT = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf)\s*\{([^{}]*)\}")
_QUOTES = "\"'\u201c\u201d\u2018\u2019「」"
_LEAD = re.compile(
    r"^选项?\s*|^(?:(?:the|my|final|correct|right|best|only|both|either)\s+)*"
    r"(?:options?|choices?|letters?|answers?|statements?)?(?:\s+(?:is|are|would be))?\s*:?\s*"
    r"(?:(?:the\s+)?(?:option|choice|letter)\s+)?",
    re.IGNORECASE,
)
_LONGEST = 400  # characters of a statement
_ENCLOSED = re.compile(r"^[(\[{<]+\s*([A-Ja-j])\s*[)\]}>]+")
_DELIMITED = re.compile(r"^([A-J])\s*[).:]+(?=\s|$)")
_BARE = re.compile(
    r"^([A-J])(?![\w'\u2019])(?:\s+(?!(?:and|or)\s+\W?[A-J]\b)([a-z]))?|^([A-J])(?=[\u3000-\u9fff])"
)
_ALONE = re.compile(r"^[({\[<\s]*([A-Ja-j])[)}\]>\s.:。]*$")
_RUN = re.compile(r"^[({\[\s]*([A-J]{2,10})[)}\]\s.:。]*$")
_JOINT = re.compile(
    r"^[\s.)\]}]*(?:[,;/&+、|-]|\b(?:and|or|nor|plus|as well as|(?:along|together) with|und|oder)\b"
    r"|和|或者?是?|以?及|与|跟|同|还是|而?且)\s*"
    r"(?:(?:and|or|also|possibly|perhaps|maybe|even)\s+)*(?:(?:option|choice|answer|letter)\s+)?",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"^\s*(?=[(\[]\s*[A-J]\s*[)\]])")  # `(A)(B)`
_QUOTED = re.compile(r"['\u2018]([A-J])['\u2019]")
_NEXT = re.compile(r"^(?:[(\[{]+\s*([A-Ja-j])\s*[)\]}]+|([A-J])(?![\w'\u2019]))")
_WORD_AFTER = re.compile(r"^\s+[a-z]")
_BESIDE = re.compile(r"^\s+([A-J])(?:[\s.,;:)\]]*$|\s*[,/&]|\s+(?:and|or)\b)")
_ENCLOSED_LATER = re.compile(r"\b(?:and|or)\s+(?:[(\[]\s*([A-J])\s*[)\]]|([A-J])\))")
_OPTION_LATER = re.compile(r"[,;、]\s*([A-J])[.):](?=\s)")  # `A. Paris, C. Rome`
_OTHERWISE = re.compile(
    r"^[\s.)\]}]*[,;]?\s*(?:and|or|nor|plus)\s+(?:none|neither|both|all|any|else|others?|nothing)\b",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"^(?:\s*[<>=^#+*/\\~|≤≥≠→·÷_\u00d7]|-\w)")
_CONTRAST = re.compile(
    r"\b(?:because|since|as|not|unlike|than|but|while|whereas|instead|although|though|so|for)\b",
    re.IGNORECASE,
)


def named_letters(said: str) -> frozenset[str]:
    r"""Return the options that a short statement names, `A` to `J`; empty if it names none.

    `B`, `(b)`, `[B]`, `B) Paris`, `**B**`, `\text{(B)}`, `"B"` and `option B` name B. `A or C`,
    `(A), (C)`, `A/C` and `AC` name two. A small letter counts only alone or enclosed, and what
    reads as a word (`A good one`, `I think`) does not.
    """
    text = _stripped(said[:_LONGEST])
    text = _LEAD.sub("", text, count=1).strip(_QUOTES + " ")
    if found := _ALONE.match(text):
        return frozenset(found.group(1).upper())
    if (found := _RUN.match(text)) and len(set(found.group(1))) == len(found.group(1)):
        return frozenset(found.group(1))
    first = _first_letter(text)
    if first is None:
        return frozenset()
    letter, rest, is_delimited = first
    joined = _joined(rest)
    if _OTHERWISE.match(rest) or (not is_delimited and not joined and _OPERATOR.match(rest)):
        return frozenset()
    if not is_delimited and (beside := _BESIDE.match(rest)):
        return frozenset({letter, beside.group(1)})
    return frozenset({letter, *joined, *_joined_later(rest)})


def choice_letter(said: str) -> str | None:
    """Return the one option that a statement names, or `None` for none or several."""
    named = named_letters(said)
    return next(iter(named)) if len(named) == 1 else None


def lone_letter(text: str) -> str | None:
    """Return the letter that is all there is in the last line of `text`, or `None`."""
    lines = text.strip().splitlines()
    found = _ALONE.match(_stripped(lines[-1]).strip(_QUOTES)) if lines else None
    return found.group(1).upper() if found else None


def last_line_letter(text: str) -> str | None:
    """Return the option that the last line of `text` is, such as `B. Paris`, or `None`.

    Where another line begins with another letter, the options themselves are listed, so that the
    last one is no choice.
    """
    if letter := lone_letter(text):
        return letter
    lines = [line for line in text.splitlines() if line.strip()]
    begun = [_option(_stripped(line[:_LONGEST])) for line in lines]
    if not begun or begun[-1] is None or len({*begun} - {None}) > 1:
        return None
    return begun[-1]


def _option(line: str) -> str | None:
    found = _DELIMITED.match(line) or _ENCLOSED.match(line)
    return found.group(1).upper() if found else None


def _stripped(said: str) -> str:
    said = _IN_TEXT.sub(r" \1 ", plain(said))
    return _MARKUP.sub(" ", _QUOTED.sub(r"\1", said)).strip()


def _first_letter(text: str) -> tuple[str, str, bool] | None:
    """Return the letter a statement begins with, the rest, and whether `B) ...` is its form."""
    if found := _ENCLOSED.match(text):
        return found.group(1).upper(), text[found.end() :], True
    if found := _DELIMITED.match(text):
        return found.group(1), text[found.end() :], True
    found = _BARE.match(text)
    if found is None:
        return None
    letter = found.group(1) or found.group(3)
    if letter in "AI" and found.group(2):
        return None
    return letter, text[1:], False


def _joined(rest: str) -> set[str]:
    """Return the letters that follow at once, each joined by a comma, "and", "or" and the like."""
    letters: set[str] = set()
    while joint := _JOINT.match(rest) or _BRACKET.match(rest):
        rest = rest[joint.end() :]
        found = _NEXT.match(rest)
        if found is None or (found.group(2) in ("A", "I") and _WORD_AFTER.match(rest[1:])):
            break
        letters.add((found.group(1) or found.group(2)).upper())
        rest = rest[found.end() :]
    return letters


def _joined_later(rest: str) -> set[str]:
    """Return the enclosed letters that "and" or "or" joins, after the text of an option."""
    before = _CONTRAST.split(rest, maxsplit=1)[0]
    enclosed = {one or two for one, two in _ENCLOSED_LATER.findall(before)}
    return enclosed | {*_OPTION_LATER.findall(before)}
