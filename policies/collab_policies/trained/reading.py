"""What a trained verifier reads at a branch: hidden states of the generator."""

from array import array
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from collab.protocols import Case, VerifierDesk
from collab.roles import GENERATOR
from collab_policies.self_judge import CUE

CHOICE = CUE.rpartition("\n")[2]
QUESTION = CUE.removesuffix(CHOICE)

Position = Literal["before-cue", "after-cue", "mark", "segments"]


class StateReading(BaseModel):
    """Which hidden states of the generator are read at a branch.

    The question that lists both segments is put after the text, on a fork.

    References:
        MentorCollab (MLP), arXiv:2602.05307: the last element of `hidden_states`, which is
        after the final norm, at the last token of the question cut off before its choice cue.
        That is the default here. Deviations: the state comes from the generator itself with its
        cache instead of a second copy of it fed with the whole text anew; the question is cut where
        it was made, not where its marker first occurs in the text; it has our own wording.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: int = Field(
        default=-1, description="As `hidden_states` counts; -1 is after the final norm."
    )
    position: Position = Field(
        default="before-cue",
        description="`before-cue`: after the question without its choice cue; `after-cue`: "
        "after all of it; `mark`: before both segments; `segments`: after each segment, both "
        "states side by side.",
    )
    question: str = Field(
        default=QUESTION, description="The question with {a}, the generator's segment, and {b}."
    )
    cue: str = Field(default=CHOICE, description="The choice cue after the question.")

    @field_validator("question")
    @classmethod
    def _has_both(cls, question: str) -> str:
        if "{a}" not in question or "{b}" not in question:
            raise ValueError("the question has to contain {a} and {b}")
        return question

    @property
    def states(self) -> int:
        """How many states are read, one after the other."""
        return 2 if self.position == "segments" else 1

    async def read_state(self, case: Case, desk: VerifierDesk) -> Sequence[float]:
        """Return the numbers read at a branch, `(states * hidden_size,)`.

        Raises:
            ContextOverflowError: There is no room for the question.
        """
        own, offered = case.own.text, case.offered.text
        if self.position == "segments":
            both = array("f", await self._behind(own, desk))
            both.extend(await self._behind(offered, desk))
            return both
        if self.position == "mark":
            return await self._behind("", desk)
        # Not str.format: the segments may contain braces.
        question = offered.join(part.replace("{a}", own) for part in self.question.split("{b}"))
        cue = self.cue if self.position == "after-cue" else ""
        return await self._behind(question + cue, desk)

    async def _behind(self, text: str, desk: VerifierDesk) -> Sequence[float]:
        return await desk.observe(GENERATOR, text, self.layer)
