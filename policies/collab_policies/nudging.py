"""Nudging: a base model writes, and where it is unsure an aligned one supplies words."""

import math
import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.problems import Problem
from collab.proposals import Proposal, Token, Until
from collab.protocols import (
    Case,
    Draft,
    Policy,
    PolicySession,
    Verifier,
    VerifierDesk,
    VerifierSession,
)
from collab.recipes import Recipe
from collab.roles import GENERATOR, MENTOR
from collab.units import TokenUnit, WordUnit
from collab.verdicts import Abstain, Verdict

_PAPER_THRESHOLD = 0.4


class UnsureToken(Policy):
    """Ask a mentor where the generator's likeliest next token is less likely than a threshold.

    The generator is stopped at that token, which is not kept.

    References:
        Nudging, arXiv:2410.09300: thresholds of 0.3 to 0.4 on the top-1 probability.
    """

    threshold: float = Field(
        default=_PAPER_THRESHOLD, ge=0, le=1, description="Ask below this top-1 probability."
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's likeliest token at each position, and the mentor."""
        return (Need(GENERATOR, "top_logprobs", 1), Need(self.mentor, "text"))

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; it has no memory."""
        return _UnsureSession(self)


class _UnsureSession(PolicySession):
    def __init__(self, policy: UnsureToken) -> None:
        self._policy = policy

    def watch(self, tokens: Sequence[Token]) -> bool:
        return _sureness(tokens[-1]) < self._policy.threshold

    def decide(self, draft: Draft) -> Decision:
        sureness = _sureness(draft.tokens[-1]) if draft.tokens else 1.0
        if sureness >= self._policy.threshold:
            return Continue(signal=sureness)
        keep = len(draft.tokens) - 1
        return Consult(self._policy.mentor, keep=keep, why="unsure", signal=sureness)


class UntilSure(Verifier):
    """Let a mentor's words stand up to where the generator is sure again, or says the same.

    The generator scores the mentor's words. At the beginning of each word after the first, it takes
    over if its likeliest token there is likely enough, or is the word's own.

    References:
        Nudging, arXiv:2410.09300.
        Deviation: a word that begins within a token of the generator is read over.
    """

    threshold: float = Field(
        default=_PAPER_THRESHOLD, ge=0, le=1, description="The generator is sure from here on."
    )

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's likeliest token at each position of given text."""
        return (Need(GENERATOR, "score_top_logprobs", 1),)

    @property
    def reads_look_ahead(self) -> bool:
        """Only the mentor's words are read."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _UntilSureSession(self.threshold)


class _UntilSureSession(VerifierSession):
    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no words to compare")
        if not case.offered.text:
            return Verdict(case.mentor, why="no words")
        scored = await desk.score(GENERATOR, case.offered.text)
        places = dict(zip(_places(scored), scored, strict=True))
        for count, place in _words(case.offered):
            token = places.get(place)
            if token is not None and token.top:
                sureness = _sureness(token)
                if sureness >= self._threshold or token.is_likeliest:
                    return Verdict(case.mentor, upto=count, score=sureness, why="sure again")
        return Verdict(case.mentor, why="unsure to the end")


def _sureness(token: Token) -> float:
    """Return the probability of the likeliest token at a token's position."""
    return math.exp(token.top[0].logprob) if token.top else 1.0


def _words(proposal: Proposal) -> list[tuple[int, int]]:
    """Return where each word but the first begins: tokens before it, and characters."""
    scanner = WordUnit().scanner()
    ends = [end for token in proposal.tokens if (end := scanner.feed(token.text)) is not None]
    places = _places(proposal.tokens)
    return [(end, places[end]) for end in ends if end < len(places)]


def _places(tokens: Sequence[Token]) -> list[int]:
    """Return at which character of their text each token begins."""
    places, place = [], 0
    for token in tokens:
        places.append(place)
        place += len(token.text)
    return places


class Nudging(BaseModel):
    """Nudging: a large base model writes, and a small aligned one says what it is unsure of.

    Roles are not sizes: here the `generator` is the base model, and the `mentor` the small one.

    References:
        Nudging, arXiv:2410.09300: look-aheads of 16 tokens, and an end after three equal nudges.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        default=_PAPER_THRESHOLD, ge=0, le=1, description="Ask below this top-1 probability."
    )
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")
    draft_tokens: int = Field(default=16, ge=1, description="Tokens drafted at a time.")
    nudge_tokens: int = Field(default=16, ge=1, description="Longest nudge, in tokens.")
    repeat_limit: int = Field(default=3, ge=0, description="Equal pieces that end the answer.")
    max_answer_tokens: int = Field(default=512, ge=1, description="Longest answer.")

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return Recipe(
            name="nudging",
            policy=UnsureToken(threshold=self.threshold, mentor=self.mentor),
            verifiers=(UntilSure(threshold=self.threshold),),
            unit=TokenUnit(size=self.draft_tokens),
            segment=Until(self.nudge_tokens),
            repeat_limit=self.repeat_limit,
            max_answer_tokens=self.max_answer_tokens,
        )
