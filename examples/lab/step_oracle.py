"""A policy that knows the truth of lab problems: an upper bound for every router by steps."""

import random
from collections.abc import Sequence

from grading import grade_step
from pydantic import Field
from task import Problem as LabProblem
from task import boxed_answer, parse_problem

from collab import Consult, Continue, Draft, Policy, PolicySession, Problem
from collab.capabilities import Need
from collab.decisions import Decision
from collab.roles import MENTOR


class StepOracle(Policy):
    """Have the mentor redo every step with a wrong value, and a wrong answer; nothing else."""

    mentor: str = Field(default=MENTOR, description="Whom to ask.")

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session that has solved the problem."""
        return _OracleSession(parse_problem(problem.text), self.mentor)


class _OracleSession(PolicySession):
    def __init__(self, problem: LabProblem, mentor: str) -> None:
        self._problem = problem
        self._mentor = mentor

    def decide(self, draft: Draft) -> Decision:
        if is_wrong(self._problem, draft.text):
            return Consult(self._mentor, why="wrong")
        return Continue(why="right")


def is_wrong(problem: LabProblem, step: str) -> bool:
    """Whether a step states a wrong value, or a wrong answer."""
    grade = grade_step(problem, step)
    if grade is not None:
        return not grade.has_right_value
    boxed = boxed_answer(step)
    return boxed is not None and boxed != problem.answer
