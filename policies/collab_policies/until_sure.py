"""The verifier `until-sure`: a mentor's words stand until the generator is sure again."""

import random
from collections.abc import Sequence

from collab.capabilities import Need
from collab.problems import Problem
from collab.proposals import Proposal
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.units import WordUnit
from collab.verdicts import Abstain, Verdict
from collab_policies.sureness import SurenessOptions, places_of, sureness


class UntilSure(SurenessOptions, Verifier):
    """Let a mentor's words stand up to where the generator is sure again, or says the same.

    The generator scores the mentor's words. At the beginning of each word after the first, it takes
    over if its likeliest token there is likely enough, or is the word's own.

    References:
        Nudging, arXiv:2410.09300.
        Deviation: a word that begins within a token of the generator is read over.
    """

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
        places = dict(zip(places_of(scored), scored, strict=True))
        for count, place in _words(case.offered):
            token = places.get(place)
            if token is not None and token.top:
                found = sureness(token)
                if found >= self._threshold or token.is_likeliest:
                    return Verdict(case.mentor, upto=count, score=found, why="sure again")
        return Verdict(case.mentor, why="unsure to the end")


def _words(proposal: Proposal) -> list[tuple[int, int]]:
    """Return where each word but the first begins: tokens before it, and characters."""
    scanner = WordUnit().scanner()
    ends = [end for token in proposal.tokens if (end := scanner.feed(token.text)) is not None]
    places = places_of(proposal.tokens)
    return [(end, places[end]) for end in ends if end < len(places)]
