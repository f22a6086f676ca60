"""Verdicts: which proposal stands. Kept apart from the proposals themselves."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

NOBODY = ""
"""In `Verdict.stands`: no proposal stands, and what the decision's `redo` says is done."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verifier's answer.

    Attributes:
        stands: The author whose proposal stands, or `NOBODY`.
        upto: How many of its tokens stand, at least 1; `None` for all. Of a draft that was to be
            verified, a mentor redoes the rest.
        score: The number that it is based on, if there is one.
        why: Short reason for the record.
        choice: Which of the author's proposals stands, in their order, from 0.
    """

    stands: str
    upto: Annotated[int, Field(ge=1)] | None = None
    score: float | None = None
    why: str = ""
    choice: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class Abstain:
    """The verifier cannot tell; the next one of the cascade is asked."""

    why: str = ""
