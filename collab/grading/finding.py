r"""Where the answer of a text stands, and by which rule it is found.

The rules, the first that fits wins: the last box, the last `<answer>` tag, the line after the last
`####`, the last "answer is" or heading "Final answer", a line that begins with `A:`. Model text is
only read, never evaluated.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from collab.grading.grades import Extraction, FoundBy, Judge
from collab.grading.last_number import last_number
from collab.grading.letters import last_line_letter, named_letters
from collab.grading.lexing import plain
from collab.grading.marks import TITLE, below, sentence_at
from collab.grading.readings import Number
from collab.grading.statements import read_number
from collab.views import ThinkingTags

DEFAULT_TAGS = ThinkingTags()

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*(?:\{|(?=[^\s{$]))")
_BARE_BOX = re.compile(r"[^\s$\\{}]+")
_BRACE = re.compile(r"(?<!\\)[{}]")
_TAG, _END_TAG = "<answer>", "</answer>"
_HASHES = "####"
_AFTER_HASHES = "# \t\r\n"
_MOST_TITLES = 20
_EMPHASIS = r"[*_`\"]{0,4}"
_PHRASE = re.compile(
    rf"(?<![^\W_])(?:answer|(?:correct|right|best|final|my)\s+(?:option|choice|letter)){_EMPHASIS}"
    r"(?:\s+(?:is|(?:would|should|must|will)\s+be|becomes)\b(?!['\u2019]t)|[ \t]*[:=])"
    rf"{_EMPHASIS}[ \t]*:?"
    rf"|(?:答案{_EMPHASIS}(?:应该?)?(?:是|为|选|\s*:){_EMPHASIS}"
    r"|故选|(?<!不)应选|因此选|所以选)[ \t]*:?"
    r"|(?<![不可别勿])(?<!不能)(?<!不会)(?<!不要)(?<!不该)(?<!应该)选择?(?=\s*\(?[A-J](?![A-Za-z]))"
    r"|^[ \t>]*(?:\#{1,6}[ \t]*)?[*_]{0,3}(?:the\s+)?(?:final|correct|my\s+final)?\s?answer"
    r"[*_#: \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = re.compile(
    r"(?:(?<![^\W_])(?:wrong|incorrect|false|mistaken|erroneous|invalid|bad|not|n['\u2019]t)"
    r"(?:\s+(?:the|an?|my|your|final|correct|right|best|one))*|错误?的?|不正确的?|不是(?:正确)?)[\s*_`\"]*$",
    re.IGNORECASE,
)
_DENIED_WITHIN = 60  # characters before a label
_LISTED = re.compile(r"[ \t*_]*[A-J]\.[ \t][^\n]{0,200}")
_DASH = re.compile(r"-\s")
_PREFIX = re.compile(r"^[ \t]*A[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)
_OTHER_PREFIX = re.compile(r"^[ \t]*\(?[B-J][ \t]*[:.)]", re.MULTILINE)
_REMARK = re.compile(
    r"not\s+[$\\(]*-?\d"
    r"|(?:unique|clear|correct|right|wrong|incorrect|different|(?:the\s+)?same|as\s+follows|below"
    r"|above|reasonable|obvious|simple|easy|given|found|known|likely)\b[^\d\\$]*$",
    re.IGNORECASE,
)
_LIKE_A_VALUE = re.compile(r"[\s*_`\"'“(\[{+-]*[\d\\$A-Z]")
_MOST_WORDS = 3
_MOST_PHRASES = 100


@dataclass(frozen=True, slots=True)
class Found:
    """An answer as it stands in a text.

    Attributes:
        answer: What it says.
        rule: Where it stands.
        is_asked: A question mark ends it.
        listed: All of its line, where that begins with an option: `A. Paris, C. Rome`.
    """

    answer: str
    rule: FoundBy
    is_asked: bool = False
    listed: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """How answers are looked for.

    Attributes:
        judge: Who will compare; `None` if that is not known.
        is_cut_off: The text did not end by itself.
        extraction: Whether what nothing marks counts too.
        thinking: The writer's own thinking tags, beside the usual ones.
    """

    judge: Judge | None = None
    is_cut_off: bool = False
    extraction: Extraction = "marked"
    thinking: ThinkingTags | None = None


def find_answer(text: str, search: Search) -> Found | None:
    """Return the answer that `text` gives, or `None`.

    Where a thinking block closes, only what follows it counts; a text whose block never closes is
    read as one that was cut off. What the very end of a cut-off
    text says may be half a word, so it is taken only from within a box; and what is said before
    the thinking closes counts only where it gives a value, in a box or a phrase.
    """
    text, has_closed = _after_thinking(text, search.thinking)
    if not has_closed and _opens_thinking(text, search.thinking):
        search = replace(search, is_cut_off=True)
    is_open = search.is_cut_off and not has_closed
    for found in marked(text, search):
        if found.is_asked and search.judge in ("choice", "numeric"):
            continue
        if search.judge == "choice":
            named = named_letters(found.listed or found.answer)
            if len(named) > 1:
                return None
            if named:
                return Found(next(iter(named)), found.rule)
        elif _counts(found, search.judge, is_open=is_open):
            return found
    return None if search.is_cut_off else _unmarked(text, search)


def marked(text: str, search: Search) -> Iterator[Found]:
    """Yield the answers that a text marks, the one that counts first."""
    for content in _boxes(text):
        yield Found(content, "boxed")
    if tagged := _tagged(text):
        yield Found(tagged, "tag")
    if search.is_cut_off:
        text = text.rstrip()[: -len(text.split()[-1])] if text.strip() else ""
    if said := _after_hashes(text, search.judge):
        yield Found(said, "hashes")
    yield from _phrases(text)
    if search.judge != "choice" and (said := _prefixed(text)):
        yield Found(said, "prefix")


def _after_thinking(text: str, thinking: ThinkingTags | None) -> tuple[str, bool]:
    """Return what follows the last closing tag, and whether there is one."""
    closings = {DEFAULT_TAGS.closing, *([thinking.closing] if thinking else [])}
    ends = [(text.rfind(closing), len(closing)) for closing in closings]
    place, length = max(ends)
    return (text[place + length :], True) if place >= 0 else (text, False)


def _opens_thinking(text: str, thinking: ThinkingTags | None) -> bool:
    openings = {DEFAULT_TAGS.opening, *([thinking.opening] if thinking else [])}
    return any(opening in text for opening in openings)


def _counts(found: Found, judge: Judge | None, *, is_open: bool) -> bool:
    """Whether a marked answer is one, and no remark about it."""
    if found.rule == "boxed":
        return True
    is_said = found.rule in ("phrase", "heading") and judge in ("numeric", "math-verify")
    if is_said and _REMARK.match(found.answer):
        return False
    if found.rule == "heading" and judge == "numeric" and read_number(found.answer) == "words":
        return False
    if not is_open:
        return True
    if judge == "numeric":
        return not found.is_asked and isinstance(read_number(found.answer), Number)
    is_short = len(found.answer.split()) <= _MOST_WORDS
    return not found.is_asked and is_short and _LIKE_A_VALUE.match(found.answer) is not None


def _unmarked(text: str, search: Search) -> Found | None:
    if search.judge == "choice":
        letter = last_line_letter(text)
        return Found(letter, "last-line") if letter else None
    if search.extraction == "last-number" and (number := last_number(text)):
        return Found(number, "last-number")
    return None


# --- marks ------------------------------------------------------------------------------------


def _boxes(text: str) -> Iterator[str]:
    """Yield what stands in boxes whose braces are balanced, the last box first."""
    end = len(text)
    for box in reversed(list(_BOX.finditer(text))):
        start = box.end()
        if box.group().endswith("{"):
            content = _balanced(text[start:end])
        else:
            bare = _BARE_BOX.match(text, start)
            content = bare.group().rstrip(".,;") if bare else None
        if content is not None and content.strip():
            yield content.strip()
        end = box.start()


def _balanced(text: str) -> str | None:
    """Return `text` up to the brace that closes one opened before it."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[: brace.start()]
    return None


def _tagged(text: str) -> str | None:
    lowered = text.lower() if text.isascii() else text  # other letters may change their length
    end = lowered.rfind(_END_TAG)
    start = lowered.rfind(_TAG, 0, end) if end >= 0 else -1
    return text[start + len(_TAG) : end].strip() or None if start >= 0 else None


def _after_hashes(text: str, judge: Judge | None) -> str | None:
    r"""Return the line after the last `####` that is no title, such as `#### Step 2`."""
    rest = text.rstrip(_AFTER_HASHES)
    for _ in range(_MOST_TITLES):
        rest, mark, said = rest.rpartition(_HASHES)
        if not mark:
            return None
        lines = said.strip().splitlines()
        line = lines[0].strip(" \t*") if lines else ""
        if line and (judge == "exact" or not TITLE.match(line)):
            return line
    return None


def _phrases(text: str) -> Iterator[Found]:
    """Yield what is said after "answer is" and its like, or below it, the last first."""
    for phrase in list(_PHRASE.finditer(plain(text)))[: -_MOST_PHRASES - 1 : -1]:
        if _DENIED.search(text, max(phrase.start() - _DENIED_WITHIN, 0), phrase.start()):
            continue
        said, is_asked = sentence_at(text, phrase.end())
        if _DASH.match(plain(said)) and phrase.group().rstrip(' \t*_`"').endswith(":"):
            said = f":{said}"  # a dash that leads on, or a sign: left to the reader
        if said:
            listed = _LISTED.match(text, phrase.end())
            yield Found(said, "phrase", is_asked, listed.group().strip() if listed else "")
        elif value := below(text, phrase.end()):
            yield Found(value, "heading")


def _prefixed(text: str) -> str | None:
    """Return the number after `A:`, unless that is an option or one of several answers."""
    lines = {found.group(1).strip() for found in _PREFIX.finditer(plain(text))}
    if len(lines) != 1 or _OTHER_PREFIX.search(text):
        return None
    said = lines.pop()
    return said if isinstance(read_number(said), Number) else None
