"""Cheap signals that a rank has to beat: what the text alone says of a step."""

import re
from collections.abc import Sequence

from collab_policies.thoughts import thought_of

_WORDS = re.compile(r"\w+|[^\w\s]")
WINDOW = 8
GRAM = 4


def repeats(steps: Sequence[str]) -> list[float]:
    """Return 1 where a step equals one of the `WINDOW` before it, else 0."""
    plain = [step.strip() for step in steps]
    return [
        float(step in plain[max(0, place - WINDOW) : place]) for place, step in enumerate(plain)
    ]


def overlaps(steps: Sequence[str]) -> list[float]:
    """Return the share of each step's runs of `GRAM` words that stood in the text before it."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for step in steps:
        words = _WORDS.findall(step)
        grams = {tuple(words[n : n + GRAM]) for n in range(len(words) - GRAM + 1)}
        found.append(len(grams & seen) / len(grams) if grams else 0.0)
        seen |= grams
    return found


def reflections(steps: Sequence[str]) -> list[float]:
    """Return 1 where a step looks back, told by its words."""
    return [float(thought_of(step) == "reflection") for step in steps]


def indices(steps: Sequence[str]) -> list[float]:
    """Return each step's place: errors come late, so this alone tells something."""
    return [float(place) for place in range(len(steps))]
