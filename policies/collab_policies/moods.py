"""The verifier `moods`: what a step is about to do, judged by its first words."""

import random
import re
from typing import Literal

from pydantic import Field

from collab.options import Options
from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict

Mood = Literal["none", "reflection", "verification", "conclusion"]

_WORDS: dict[Mood, re.Pattern[str]] = {
    "reflection": re.compile(r"\b(wait|alternatively|hold on|another|hmm+)\b", re.IGNORECASE),
    "verification": re.compile(r"\b(verify|check|make sure|confirm|think again)\b", re.IGNORECASE),
    "conclusion": re.compile(r"\b(so the answer|the answer is|final answer)\b", re.IGNORECASE),
}


def mood_of(text: str) -> Mood:
    """Return what the beginning of a step is about to do, judged by its words."""
    return next((mood for mood, words in _WORDS.items() if words.search(text)), "none")


class MoodsOptions(Options):
    """Whose beginning of a step is preferred."""

    is_mentor_preferred: bool = Field(
        default=False, description="Always take the mentor's beginning."
    )


class Moods(MoodsOptions, Verifier):
    """Take a mentor's beginning of a step where it is of another mood than the generator's.

    References:
        Speculative Thinking, arXiv:2504.12329. A mentor's recap stands in any case.
    """

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _MoodsSession(self)


class _MoodsSession(VerifierSession):
    def __init__(self, options: Moods) -> None:
        self._options = options

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        own, offered = (mood_of(one.text) for one in (case.own, case.offered))
        is_rescue = not case.draft.tokens
        if is_rescue or self._options.is_mentor_preferred or own != offered:
            return Verdict(case.mentor, why=offered)
        return Verdict(GENERATOR, why=own)
