"""Text for terminals: columns, percentages, and model text made harmless."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper

from rich.text import Text

from collab.roles import GENERATOR

MENTOR_STYLE = "bold magenta"

# All but tab and newline: escapes could move the cursor, change titles or hide text; so could the
# characters that reverse the writing direction. Half characters cannot be printed at all.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Return `text` without control characters."""
    return _CONTROL.sub("", text)


def authored(text: str, author: str) -> Text:
    """Return what a participant wrote; a mentor's words are in ⟦ ⟧ and in colour."""
    text = harmless(text)
    words = text.strip()
    if author == GENERATOR or author.startswith("policy:") or not words:
        return Text(text)
    before, _, after = text.partition(words)
    return Text.assemble(before, (f"⟦{words}⟧", MENTOR_STYLE), after)


def say(text: str) -> None:
    """Print a line on standard error; where nobody can read it any more, that ends nothing."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def open_closed_streams() -> None:
    """Have standard streams that were closed lead nowhere.

    Else the next files that are opened take their places, and what some library prints lands there.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115  # stays open


def survive_narrow_encodings() -> None:
    """Have what a terminal's encoding lacks replaced, such as ⟦ in ASCII, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows`, whose first is the head, as aligned lines; columns of numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    right = [all(_is_numeric(cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )


def percent(share: float) -> str:
    """Return a share in `[0, 1]` as a percentage."""
    return f"{100 * share:.1f} %"


def with_interval(share: float | None, interval: tuple[float, float]) -> str:
    """Return a share with its 95 % interval, in per cent."""
    if share is None:
        return "-"
    low, high = (100 * bound for bound in interval)
    return f"{percent(share)} ({low:.1f} to {high:.1f})"


def listed(counts: Mapping[str, int]) -> str:
    """Return what was counted at least once, such as `3 correct, 1 wrong`."""
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n)


def costs(cost_usd: float, priced_by: Mapping[str, Sequence[str]]) -> str:
    """Return what was paid and by which prices; an empty text where nothing has a price."""
    if not cost_usd and not priced_by:
        return ""
    sources = [f"{role}: {', then '.join(labels)}" for role, labels in priced_by.items()]
    by = f", by the prices of {'; '.join(sources)}" if sources else ""
    return f"${cost_usd:.6f}{by}"


def _is_numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell == "-"
