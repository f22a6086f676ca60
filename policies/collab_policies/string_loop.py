"""String loop: a mentor redoes a step that the text has said before, word for word."""

import random
from collections import deque
from collections.abc import Sequence

from pydantic import Field

from collab.capabilities import Need
from collab.decisions import Consult, Continue, Decision
from collab.options import MentorName, Options
from collab.problems import Problem
from collab.protocols import Draft, Policy, PolicySession
from collab.roles import MENTOR
from collab_policies.steps import StepRecipe
from collab_policies.thoughts import steps_of


class LoopOptions(Options):
    """What counts as a repetition."""

    window: int = Field(default=8, ge=1, description="Number of previous steps that are compared.")
    mentor: MentorName = MENTOR


class StringLoop(LoopOptions, Policy):
    """Ask a mentor where a step equals one of the last ones, blanks at its ends aside.

    Needs nothing of the generator: the cheapest loop detector, which a rank has to beat.
    """

    @property
    def needs(self) -> Sequence[Need]:
        """The mentor."""
        return (Need(self.mentor, "text"),)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return a session; what was said is in the drafts."""
        return _LoopSession(self)


class _LoopSession(PolicySession):
    def __init__(self, policy: StringLoop) -> None:
        self._policy = policy

    def decide(self, draft: Draft) -> Decision:
        # What a mentor wrote counts as well, so it is read from the text.
        before = deque((step.strip() for step in steps_of(draft.answer)), self._policy.window)
        if draft.text.strip() in before:
            return Consult(self._policy.mentor, why="repeated", signal=1.0)
        return Continue(why="new", signal=0.0)


class StringLoopRecipe(LoopOptions, StepRecipe):
    """The mentor redoes exact repetitions, and nothing else."""

    method = "string-loop"
    policy = StringLoop
