"""The verifier `oracle`: both continuations are tried out, and graded against the gold answer."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.errors import ContextOverflowError, NoReferenceError
from collab.grading import Extraction, Grader
from collab.grading.trials import Trial
from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict


class Oracle(Verifier):
    """Let the continuation stand from which the generator alone reaches the right answer.

    For studies only: an upper bound of what a verifier could do, one consultation at a time, as
    later ones are not foreseen. It reads the gold answer, so a problem without one is refused
    before any call. Both continuations are written to their end on forks of the generator's text,
    which the ledger records as probes; that costs many times the rest of the run. Where both lead
    to the right answer, or neither does, the generator's stands. The verdict's score is 1 where
    only the mentor's is right, 0 where only the generator's is, else 0.5.
    """

    max_tokens: int = Field(
        default=512, ge=1, description="Longest attempt; never beyond the longest answer."
    )
    extraction: Extraction = Field(default="marked", description="As in the run.")
    grader: Grader = Field(default="auto", description="As in the run.")

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's text."""
        return (Need(GENERATOR, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that knows the gold answer.

        Raises:
            NoReferenceError: The problem has none.
        """
        if problem.answer is None:
            raise NoReferenceError(
                f"problem {problem.id!r} has no reference answer, which the verifier 'oracle' "
                "compares with; give every problem an `answer`, or take a verifier for use outside "
                "studies"
            )
        trial = Trial(problem.answer, self.max_tokens, self.extraction, self.grader)
        return _OracleSession(trial)


class _OracleSession(VerifierSession):
    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        try:
            own = await self._trial.is_right(case, case.own, desk)
            offered = await self._trial.is_right(case, case.offered, desk)
        except ContextOverflowError:
            return Abstain("no room in the context to try a proposal out")
        if own is None or offered is None:
            return Abstain("the grader cannot tell what a proposal leads to")
        stands = case.mentor if offered and not own else GENERATOR
        why = {
            (True, True): "both lead to the right answer",
            (True, False): "only the generator's leads to the right answer",
            (False, True): "only the mentor's leads to the right answer",
            (False, False): "neither leads to the right answer",
        }[own, offered]
        return Verdict(stands, score=(1 + offered - own) / 2, why=why)
