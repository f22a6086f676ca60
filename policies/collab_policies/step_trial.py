"""The verifier `step-trial`: a step is bad if the right answer gets rarer after it."""

import random
from collections.abc import Sequence
from functools import partial

from pydantic import Field

from collab.capabilities import Need
from collab.concurrency import concurrently
from collab.errors import ContextOverflowError, NoReferenceError
from collab.grading import Extraction, Grader
from collab.grading.trials import Trial
from collab.problems import Problem
from collab.proposals import Proposal
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import NOBODY, Abstain, Verdict

_BEFORE = "before"


class StepTrial(Verifier):
    """Let a step stand unless it costs the generator too many right answers.

    The generator goes on alone `samples` times from before the step and from after it; the step
    falls if the share of right answers is lower after it by `drop` or more. For labels and
    studies only: it reads the gold answer and costs many times the rest. The recipe has to sample:
    greedily, what stands before a step leads into that very step. The verdict's score is the share
    after it minus the share before it.
    """

    samples: int = Field(default=8, ge=1, description="Attempts from each of the two places.")
    drop: float = Field(default=0.25, gt=0, le=1, description="A step falls at this loss or above.")
    max_tokens: int = Field(
        default=512, ge=1, description="Longest attempt; never beyond the longest answer."
    )
    extraction: Extraction = Field(default="marked", description="As in the run.")
    grader: Grader = Field(default="auto", description="As in the run.")

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's text."""
        return (Need(GENERATOR, "text"),)

    @property
    def reads_look_ahead(self) -> bool:
        """Only the draft is tried out."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session that knows the gold answer.

        Raises:
            NoReferenceError: The problem has none.
        """
        if problem.answer is None:
            raise NoReferenceError(
                f"problem {problem.id!r} has no reference answer, which the verifier 'step-trial' "
                "compares with; give it an `answer`, or have a mentor judge (`step-score`)"
            )
        trial = Trial(problem.answer, self.max_tokens, self.extraction, self.grader)
        return _TrialSession(self, trial, rng)


class _TrialSession(VerifierSession):
    def __init__(self, options: StepTrial, trial: Trial, rng: random.Random) -> None:
        self._options = options
        self._trial = trial
        self._rng = rng

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if case.mentor:
            return Abstain("there is a proposal to compare, and only the draft is tried out")
        empty = Proposal(GENERATOR, (), "length")
        rights = [0, 0]
        try:
            for _ in range(self._options.samples):
                seed = self._rng.getrandbits(63)
                attempt = partial(self._trial.is_right, case, desk=desk, seed=seed)
                ahead, back = await concurrently(
                    partial(attempt, case.draft.proposal), partial(attempt, empty)
                )
                if ahead is None or back is None:
                    return Abstain("the grader cannot tell what the step leads to")
                rights[0] += ahead
                rights[1] += back
        except ContextOverflowError:
            return Abstain("no room in the context to try the step out")
        gain = (rights[0] - rights[1]) / self._options.samples
        stands = NOBODY if gain <= -self._options.drop else GENERATOR
        return Verdict(stands, score=gain, why="tried out")
