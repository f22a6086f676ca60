"""Thoughts: what a step of reasoning does, told by its words."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Thought = Literal["execution", "reflection", "transition"]

HESITATION = re.compile(r"\b(wait|hmm+|alternatively|hold on|but)\b", re.IGNORECASE)
"""Words with which a step hesitates."""


class Keywords(BaseModel):
    """The words that tell what a step does, without regard to case; what is left is execution.

    References:
        SEAL, arXiv:2504.07986; the defaults are the published ones. One of them is misspelt there
        and never matches; here it is spelt right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reflection_starts: tuple[str, ...] = Field(
        default=("wait",), description="A step that starts with one of these looks back."
    )
    reflection_words: tuple[str, ...] = Field(
        default=(
            "verify",
            "make sure",
            "hold on",
            "think again",
            "'s correct",
            "'s incorrect",
            "let me check",
            "seems right",
        ),
        description="So does a step that contains one of these.",
    )
    transition_starts: tuple[str, ...] = Field(
        default=("alternatively",),
        description="A step that starts with one of these tries something else.",
    )
    transition_words: tuple[str, ...] = Field(
        default=(
            "think differently",
            "another way",
            "another approach",
            "another method",
            "another solution",
            "another strategy",
            "another technique",
        ),
        description="So does a step that contains one of these.",
    )


SEAL_KEYWORDS = Keywords()


def thought_of(step: str, keywords: Keywords = SEAL_KEYWORDS) -> Thought:
    """Return what a step does; told by keywords, reflection first."""
    text = step.strip().lower().replace("\u2019", "'")
    if _speaks(text, keywords.reflection_starts, keywords.reflection_words):
        return "reflection"
    if _speaks(text, keywords.transition_starts, keywords.transition_words):
        return "transition"
    return "execution"


def count_reflections(steps: Sequence[str], keywords: Keywords = SEAL_KEYWORDS) -> int:
    """Return how many of the steps look back."""
    return sum(thought_of(step, keywords) == "reflection" for step in steps)


def steps_of(text: str) -> list[str]:
    """Return the steps of a text: what stands between its blank lines, without empty ones."""
    return [step for step in text.split("\n\n") if step.strip()]


def _speaks(text: str, starts: Sequence[str], words: Sequence[str]) -> bool:
    return text.startswith(tuple(one.lower() for one in starts)) or any(
        word.lower() in text for word in words
    )
