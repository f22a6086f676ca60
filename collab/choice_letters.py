"""Finding the letter of a multiple-choice option in what a text says."""

import re

_MARKUP = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|boxed)(?=\s*\{)|[*_`$\s]+")
_LEAD = re.compile(
    r"^(?:the\s+)?(?:correct\s+)?(?:option|choice|letter|answer)(?:\s+is)?\s*:?\s*", re.I
)
_ENCLOSED = re.compile(r"^[(\[{]+\s*([A-Ja-j])\s*[)\]}]")
_BARE = re.compile(r"^([A-J])(?![\w'])(?:\s+([a-z]))?")
_ALONE = re.compile(r"^[({\[\s]*([A-Ja-j])[)}\]\s.:]*$")


def choice_letter(said: str) -> str | None:
    r"""Return the option that a short statement begins with, `A` to `J`, or `None`.

    `B`, `(b)`, `[B]`, `B) Paris`, `**B**`, `\text{(B)}` and `option B` are B. A small letter
    counts only alone or enclosed, and what reads as a word (`A good one`, `I think`) does not.
    """
    text = _LEAD.sub("", _MARKUP.sub(" ", said).strip())
    if found := _ALONE.match(text) or _ENCLOSED.match(text):
        return found.group(1).upper()
    found = _BARE.match(text)
    if found is None or (found.group(1) in "AI" and found.group(2)):
        return None
    return found.group(1)


def lone_letter(text: str) -> str | None:
    """Return the letter that is all there is in the last line of `text`, or `None`."""
    lines = text.strip().splitlines()
    found = _ALONE.match(_MARKUP.sub(" ", lines[-1]).strip()) if lines else None
    return found.group(1).upper() if found else None
