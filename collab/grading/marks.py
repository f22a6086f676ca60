"""What stands after a label such as "Final answer:", in its sentence or below it."""

import re

TITLE = re.compile(
    r"(?:step|part|case|conclusion|solution|explanation|verification|check|calculations?|summary|"
    r"(?:the\s+)?(?:final\s+)?answer|result|given|note|reasoning|analysis)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<!\bapprox)(?<!\bRs)\.(?=\s|$|[*_`\"”]+(?:\s|$))|\n|。|\?(?=\s|$)|</s>|<(?:eos|pad|end_of_turn|eot|end_of_text)>|<\||!(?=\s*(?:$|\n|[A-Z]))",
    re.MULTILINE,
)
_BLANK = re.compile(r"\s+")
_ITEM = re.compile(r"(?:[-*\u2022]|\d+[.)])\s")
_MARKUP = " \t:*_`"
_OPENING = re.compile(r"[ \t>*_]*(?:(\\\[|\$\$|```)\w*|-{3,}|\\begin\{\w+\*?\}|\|)[ \t*_]*")
_CLOSING = {"\\[": "\\]", "$$": "$$", "```": "```"}
_SHORT_WORDS = 12
_SHORT = 80
_MOST_BLANK_LINES = 4
_FARTHEST = 4_000  # characters below a label


def sentence_at(text: str, start: int) -> tuple[str, bool]:
    """Return what the sentence says from a place on, and whether it is a question.

    Empty where the line ends there, or only opens a formula or a block.
    """
    line_end = text.find("\n", start)
    rest = text[start : line_end if line_end >= 0 else len(text)].strip(_MARKUP + "\r")
    if not rest or _OPENING.fullmatch(rest):
        return "", False
    blank = _BLANK.match(text, start)
    place = blank.end() if blank else start
    end = _SENTENCE_END.search(text, place)
    said = text[place : end.start() if end else len(text)]
    return _unmarked(said), bool(end) and end is not None and end.group() == "?"


def below(text: str, start: int) -> str | None:
    """Return the short line, formula or block below a label; `None` if prose is there."""
    lines = text[start : start + _FARTHEST].split("\n")
    opening = _OPENING.fullmatch(lines[0].strip(_MARKUP + "\r")) if lines else None
    closing = _CLOSING.get(opening.group(1) or "") if opening else None
    for number, line in enumerate(lines[1:], start=1):
        bare = line.strip()
        if not bare:
            if number > _MOST_BLANK_LINES:
                return None
            continue
        if closing is None and (opening := _OPENING.fullmatch(bare)):
            closing = _CLOSING.get(opening.group(1) or "")
            continue
        if closing is not None:
            return _block(lines[number:], closing)
        if bare.endswith(":") or TITLE.match(bare) or _ITEM.match(bare):
            return None
        is_last = not "".join(lines[number + 1 :]).strip()
        return _unmarked(bare) if is_last or _is_short(bare) else None
    return None


def _block(lines: list[str], closing: str) -> str | None:
    """Return the lines up to the closing mark, or the first if there is none."""
    inside: list[str] = []
    for line in lines:
        before, mark, _ = line.partition(closing)
        inside.append(before.strip())
        if mark:
            return " ".join(inside).strip() or None
    return inside[0] or None


def _is_short(line: str) -> bool:
    return len(line) <= _SHORT and len(line.split()) <= _SHORT_WORDS


def _unmarked(said: str) -> str:
    return said.strip().strip(" :*").strip()
