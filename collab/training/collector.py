"""The collector: a verifier that takes branches instead of judging them."""

import random
from collections.abc import Sequence
from functools import partial

from pydantic import ConfigDict, PrivateAttr

from collab.capabilities import Need
from collab.concurrency import concurrently
from collab.errors import ContextOverflowError
from collab.grading import Extraction, grade
from collab.problems import Problem
from collab.proposals import Proposal
from collab.protocols import Case, Handles, RollOut, Verifier, VerifierSession
from collab.roles import GENERATOR
from collab.training.branches import Branch
from collab.training.trainer import Trainer
from collab.units import Unit, first_unit
from collab.verdicts import Abstain, Verdict


class Collector(Verifier):
    """Follow both ways of every disagreement to the end, and keep what a verifier would see there.

    Behind either segment the generator writes alone to the end of its answer, as
    `collab.protocols.Handles.roll_out` says; the right answers are counted. The run itself
    then goes on with one of both, by a fair coin of the problem's own stream, so that further
    branches are met behind the generator's words and behind the mentor's. Where the mentor's first
    unit equals the draft, the draft stands. Branches without room in the context are not taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    trainer: Trainer
    unit: Unit
    samples: int
    extraction: Extraction
    _kept: dict[str, list[Branch]] = PrivateAttr(default_factory=dict)

    @property
    def needs(self) -> Sequence[Need]:
        """What reading a branch needs."""
        return self.trainer.needs

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that keeps the problem's branches until they are taken."""
        kept = self._kept[problem.id] = []
        return _CollectorSession(self, problem, rng, kept)

    def take(self, problem: str) -> list[Branch]:
        """Return a problem's branches, once; none if it was never begun."""
        return self._kept.pop(problem, [])


class _CollectorSession(VerifierSession):
    def __init__(
        self, collector: Collector, problem: Problem, rng: random.Random, kept: list[Branch]
    ) -> None:
        self._collector = collector
        self._problem = problem
        self._rng = rng
        self._kept = kept

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        own, offered = case.proposals[GENERATOR], case.proposals[case.mentor]
        texts = [token.text for token in offered.tokens]
        if first_unit(texts, self._collector.unit) == case.draft.text:
            return Verdict(GENERATOR, upto=len(case.draft.tokens), why="agreement")
        try:
            state = await self._collector.trainer.read(case, models)
            own_right, offered_right = await self._follow(own, offered, models)
        except ContextOverflowError:
            return Abstain("no room in the context")
        self._kept.append(
            Branch(
                unit=case.draft.unit,
                own=own.text,
                offered=offered.text,
                own_right=own_right,
                offered_right=offered_right,
                samples=self._collector.samples,
                state=state,
            )
        )
        return Verdict(GENERATOR if self._rng.random() < 0.5 else case.mentor, why="a coin")

    async def _follow(
        self, own: Proposal, offered: Proposal, models: Handles
    ) -> tuple[float, float]:
        """Return the shares of right answers behind both."""
        rights = [0, 0]
        samples = self._collector.samples
        for _ in range(samples):
            # One seed for both: what differs then is the way, less the luck.
            seed = self._rng.getrandbits(63)
            ends = await concurrently(
                partial(models.roll_out, own, seed), partial(models.roll_out, offered, seed)
            )
            for side, end in enumerate(ends):
                rights[side] += self._is_right(end)
        return rights[0] / samples, rights[1] / samples

    def _is_right(self, end: RollOut) -> bool:
        graded = grade(
            end.text,
            reference=self._problem.answer,
            reason=end.reason,
            extraction=self._collector.extraction,
        )
        return graded.outcome == "correct"
