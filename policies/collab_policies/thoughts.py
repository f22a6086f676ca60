"""Thoughts: what a step of reasoning does, told by its words."""

import re
from collections.abc import Sequence
from typing import Literal

Thought = Literal["execution", "reflection", "transition"]

_REFLECTION_STARTS = ("wait",)
_REFLECTION_WORDS = (
    "verify",
    "make sure",
    "hold on",
    "think again",
    "'s correct",
    "'s incorrect",
    "let me check",
    "seems right",
)
_TRANSITION_STARTS = ("alternatively",)
_TRANSITION_WORDS = (
    "think differently",
    "another way",
    "another approach",
    "another method",
    "another solution",
    "another strategy",
    "another technique",
)

HESITATION = re.compile(r"\b(wait|hmm+|alternatively|hold on|but)\b", re.IGNORECASE)
"""Words with which a step hesitates."""


def thought_of(step: str) -> Thought:
    """Return what a step does; told by keywords, reflection first, without regard to case.

    References:
        SEAL, arXiv:2504.07986. One of its keywords is misspelt there and never matches; here it is
        spelt right.
    """
    text = step.strip().lower().replace("\u2019", "'")
    if _speaks(text, _REFLECTION_STARTS, _REFLECTION_WORDS):
        return "reflection"
    if _speaks(text, _TRANSITION_STARTS, _TRANSITION_WORDS):
        return "transition"
    return "execution"


def count_reflections(steps: Sequence[str]) -> int:
    """Return how many of the steps look back."""
    return sum(thought_of(step) == "reflection" for step in steps)


def steps_of(text: str) -> list[str]:
    """Return the steps of a text: what stands between its blank lines, without empty ones."""
    return [step for step in text.split("\n\n") if step.strip()]


def _speaks(text: str, starts: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return text.startswith(starts) or any(word in text for word in words)
