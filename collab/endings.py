"""Endings: why a problem ended, as a closed set of reasons."""

from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal[
    "eos",
    "stop_string",
    "length",
    "context",
    "repeat",
    "turns",
    "budget",
    "policy",
    "strategy",
    "error",
    "cancelled",
]
"""Why a problem ended.

`eos`: the writing model ended its text. `stop_string`: a stop string was written. `length`: the
longest answer is reached. `context`: a model's context is full. `repeat`: too many equal units in a
row. `turns`: text was taken back so often that no end was in sight. `budget`: a bound of the budget
is reached. `policy`, `strategy`: the plug-in said so. `error`: the problem failed. `cancelled`: its
work was given up.
"""

REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a problem ended.

    Attributes:
        reason: One of a closed set.
        detail: More of it: the name of the budget's bound, or a plug-in's own words.
    """

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        """Return both, as run directories keep them: `eos`, `budget: max_tokens`."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason
