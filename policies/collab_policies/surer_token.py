"""The verifier `surer-token`: a draft stands up to a token that a mentor knows better."""

import math
import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR, MENTOR
from collab.verdicts import NOBODY, Abstain, Verdict
from collab_policies.sureness import places_of


class SurerOptions(Options):
    """When a mentor knows a token better, and which one is asked."""

    alpha: float = Field(default=0.5, ge=0, le=1, description="The generator is unsure below it.")
    beta: float = Field(default=0.5, ge=0, description="Factor by which the mentor is surer.")
    mentor: MentorName = MENTOR


class SurerToken(SurerOptions, Verifier):
    """Let a draft stand up to a token of which the generator is unsure and the mentor surer.

    There the mentor would write another token. The generator's own has a probability below `alpha`,
    and the mentor's more than `beta` times as much.

    References:
        CoSD, arXiv:2502.08020, its rule. Defaults of `alpha` and `beta` are ours to check against
        the paper, of which only the rule is known to us.
        Deviation: a token that the mentor's tokenizer cuts elsewhere is read over.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's log-probabilities, and the mentor's likeliest tokens of given text."""
        return (Need(GENERATOR, "logprobs", 1), Need(self.mentor, "score_top_logprobs", 1))

    @property
    def reads_look_ahead(self) -> bool:
        """Only the draft is read."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _SurerSession(self)


class _SurerSession(VerifierSession):
    def __init__(self, options: SurerToken) -> None:
        self._options = options

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if case.mentor:
            return Abstain("there is a proposal to compare, and only drafts are scored")
        scored = await desk.score(self._options.mentor, case.draft.text)
        theirs = dict(zip(places_of(scored), scored, strict=True))
        drafted = zip(places_of(case.draft.tokens), case.draft.tokens, strict=True)
        for count, (place, own) in enumerate(drafted):
            token = theirs.get(place)
            if token is not None and (gain := self._gain(own, token)) is not None:
                if count == 0:
                    return Verdict(NOBODY, score=gain, why="the mentor is surer")
                return Verdict(GENERATOR, upto=count, score=gain, why="the mentor is surer")
        return Verdict(GENERATOR, why="nothing to replace")

    def _gain(self, own: Token, scored: Token) -> float | None:
        """Return how much likelier the mentor's token is, if it takes the place of `own`."""
        if own.logprob is None or scored.is_likeliest is not False:
            return None
        ours, theirs = math.exp(own.logprob), math.exp(scored.top[0].logprob)
        if ours < self._options.alpha and theirs > self._options.beta * ours:
            return theirs - ours
        return None
