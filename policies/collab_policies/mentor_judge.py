"""The verifier `mentor-judge`: a mentor chooses between two continuations."""

from pydantic import Field

from collab.roles import MENTOR
from collab_policies.self_judge import SelfJudge


class MentorJudge(SelfJudge):
    """Ask a mentor which of two continuations is right: the question of `self-judge`.

    It costs the mentor a second call per consultation, of the question's length and one token.
    """

    mentor: str = Field(default=MENTOR, description="The mentor that judges, if there are several.")

    @property
    def judge(self) -> str:
        """The mentor."""
        return self.mentor
