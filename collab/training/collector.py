"""The collector: a verifier that takes branches instead of judging them."""

import random
from collections.abc import Sequence
from functools import partial

from pydantic import ConfigDict

from collab.capabilities import Need
from collab.concurrency import concurrently
from collab.errors import ContextOverflowError, NoReferenceError
from collab.grading import Extraction, Grader
from collab.grading.trials import Trial
from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Case, Draft, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.training.branches import Branch
from collab.training.trainer import Trainer
from collab.units import Unit, first_unit_end
from collab.verdicts import Abstain, Verdict


class Collector(Verifier):
    """Follow both ways of every disagreement to the end, and keep what a verifier would see there.

    Behind either segment the generator writes alone to the end of its answer, as
    `collab.protocols.VerifierDesk.roll_out` says; the right answers are counted. The run itself
    then goes on with one of both, by a fair coin of the problem's own stream, so that further
    branches are met after the generator's words and after the mentor's. Where the mentor's first
    unit equals the draft, the draft stands. Branches without room in the context are not taken, nor
    those of which the grader cannot tell where they lead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    trainer: Trainer
    unit: Unit
    samples: int
    max_tokens: int
    extraction: Extraction
    grader: Grader

    @property
    def needs(self) -> Sequence[Need]:
        """What reading a branch needs."""
        return self.trainer.needs

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that keeps the problem's branches.

        Raises:
            NoReferenceError: The problem has no right answer.
        """
        if problem.answer is None:
            raise NoReferenceError(
                f"problem {problem.id!r} has no right answer, so it is unknown which of two ways "
                "leads there; give it an `answer`, or leave it out"
            )
        trial = Trial(problem.answer, self.max_tokens, self.extraction, self.grader)
        return _CollectorSession(self, trial, rng)


class _CollectorSession(VerifierSession):
    def __init__(self, collector: Collector, trial: Trial, rng: random.Random) -> None:
        self._collector = collector
        self._trial = trial
        self._rng = rng
        self._branches: list[Branch] = []

    def kept(self) -> list[Branch]:
        return self._branches

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        own, offered = case.own, case.offered
        texts = [token.text for token in offered.tokens]
        end = first_unit_end(texts, self._collector.unit)
        if "".join(texts[:end]) == case.draft.text:
            return Verdict(GENERATOR, upto=len(case.draft.tokens), why="agreement")
        try:
            state = await self._collector.trainer.read(case, desk)
            shares = await self._follow(case, desk)
        except ContextOverflowError:
            return Abstain("no room in the context")
        if shares is not None:
            own_right, offered_right = shares
            self._branches.append(
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

    def is_settled(self, draft: Draft, offered: Sequence[Token]) -> bool:
        """Whether the first unit is complete and says what the draft says."""
        texts = [token.text for token in offered]
        end = first_unit_end(texts, self._collector.unit)
        return end is not None and "".join(texts[:end]) == draft.text

    async def _follow(self, case: Case, desk: VerifierDesk) -> tuple[float, float] | None:
        """Return the shares of right answers after both; `None` if one cannot be told."""
        rights = [0, 0]
        samples = self._collector.samples
        for _ in range(samples):
            # One seed for both: what differs then is the way, less the luck.
            attempt = partial(self._trial.is_right, case, desk=desk, seed=self._seed())
            both = await concurrently(partial(attempt, case.own), partial(attempt, case.offered))
            for side, is_right in enumerate(both):
                if is_right is None:
                    return None
                rights[side] += is_right
        return rights[0] / samples, rights[1] / samples

    def _seed(self) -> int:
        return self._rng.getrandbits(63)
