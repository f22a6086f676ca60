"""Trials: what a proposal leads to when the generator goes on alone, against the right answer."""

from dataclasses import dataclass
from functools import partial

import anyio.to_thread

from collab.grading import Extraction, Grader, grade
from collab.proposals import Proposal
from collab.protocols import Case, VerifierDesk
from collab.roles import GENERATOR


@dataclass(frozen=True, slots=True)
class Trial:
    """How proposals of one problem are tried out.

    Attributes:
        reference: The right answer.
        max_tokens: Longest attempt; never beyond the longest answer.
        extraction: Where answers are looked for.
        grader: How they are compared.
    """

    reference: str
    max_tokens: int
    extraction: Extraction
    grader: Grader

    async def is_right(
        self, case: Case, proposal: Proposal, desk: VerifierDesk, *, seed: int | None = None
    ) -> bool | None:
        """Return whether a proposal leads there; `None` if the grader cannot tell.

        Args:
            case: The question.
            proposal: One that starts at its mark.
            desk: The generator writes on, as `collab.protocols.VerifierDesk.roll_out` says.
            seed: Of the attempt's own random stream, where the recipe samples.

        Raises:
            ContextOverflowError: There is no room to try it out.
        """
        rest = await desk.roll_out(GENERATOR, proposal, self.max_tokens, seed=seed)
        text = case.answer + proposal.text + rest.text
        graded = partial(
            grade,
            text[: len(text) - rest.stop_overlap],
            reference=self.reference,
            reason=rest.stop,
            extraction=self.extraction,
            grader=self.grader,
            thinking=case.thinking,
        )
        answered = await anyio.to_thread.run_sync(graded)  # math-verify can take seconds
        return None if answered.outcome == "ungradable" else answered.outcome == "correct"
