"""CoSD: a mentor scores the generator's drafts, and replaces a token that it knows better."""

import math
import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from collab.capabilities import Need
from collab.decisions import Consult, Decision, Verify
from collab.problems import Problem
from collab.proposals import Token
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
from collab.units import TokenUnit
from collab.verdicts import NOBODY, Abstain, Verdict


class EveryDraft(Policy):
    """Have every draft verified; what of it does not stand begins anew with a mentor's tokens."""

    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")
    tokens: int = Field(default=1, ge=1, description="Tokens that the mentor writes instead.")

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; it has no memory."""
        return _EveryDraftSession(self)


class _EveryDraftSession(PolicySession):
    def __init__(self, policy: EveryDraft) -> None:
        self._policy = policy

    def decide(self, draft: Draft) -> Decision:
        redo = Consult(self._policy.mentor, max_tokens=self._policy.tokens, why="replaced")
        return Verify(redo, why="scored")


class SurerToken(Verifier):
    """Let a draft stand up to a token of which the generator is unsure and the mentor surer.

    There the mentor would write another token. The generator's own has a probability below `alpha`,
    and the mentor's more than `beta` times as much.

    References:
        CoSD, arXiv:2502.08020, its rule. Defaults of `alpha` and `beta` are ours to check against
        the paper, of which only the rule is known to us.
        Deviation: a token that the mentor's tokenizer cuts elsewhere is read over.
    """

    alpha: float = Field(default=0.5, ge=0, le=1, description="The generator is unsure below it.")
    beta: float = Field(default=0.5, ge=0, description="Factor by which the mentor is surer.")
    mentor: str = Field(default=MENTOR, description="The mentor that scores.")

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
        theirs = _by_place(scored)
        for place, (count, own) in _by_place(case.draft.tokens).items():
            token = theirs.get(place, (0, None))[1]
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


def _by_place(tokens: Sequence[Token]) -> dict[int, tuple[int, Token]]:
    """Return tokens with their numbers by the character at which each begins."""
    places: dict[int, tuple[int, Token]] = {}
    place = 0
    for number, token in enumerate(tokens):
        places.setdefault(place, (number, token))
        place += len(token.text)
    return places


class CoSD(BaseModel):
    """CoSD: drafts of the generator, of which single tokens are replaced by a mentor's.

    References:
        CoSD, arXiv:2502.08020: "speculate, then collaborate".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(default=0.5, ge=0, le=1, description="The generator is unsure below it.")
    beta: float = Field(default=0.5, ge=0, description="Factor by which the mentor is surer.")
    mentor: str = Field(default=MENTOR, description="The mentor to ask, if there are several.")
    draft_tokens: int = Field(default=16, ge=1, description="Tokens drafted at a time.")
    max_answer_tokens: int = Field(default=512, ge=1, description="Longest answer.")

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return Recipe(
            name="cosd",
            policy=EveryDraft(mentor=self.mentor),
            verifiers=(SurerToken(alpha=self.alpha, beta=self.beta, mentor=self.mentor),),
            unit=TokenUnit(size=self.draft_tokens),
            max_answer_tokens=self.max_answer_tokens,
        )
