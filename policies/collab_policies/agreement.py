"""The verifier `agreement`: where the mentor writes the same word, there is nothing to verify."""

import random
from collections.abc import Sequence

from pydantic import Field

from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Case, Draft, Handles, Verifier, VerifierSession
from collab.roles import GENERATOR
from collab.units import Unit, WordUnit, first_unit_end
from collab.verdicts import Abstain, Verdict


class Agreement(Verifier):
    """Keep the draft if the mentor's proposal starts with the same unit; abstain otherwise.

    Compared as text, leading space included, without normalisation. The mentor's
    proposal is cut into units of its own tokens; one too short to be sure of its first unit is
    compared whole. A mentor that agrees needs to write no more than that.

    References:
        MentorCollab, arXiv:2602.05307: units are compared as strings.
    """

    unit: Unit | None = Field(default=None, description="What is compared; the draft's by default.")

    @property
    def reads_look_ahead(self) -> bool:
        """Only the draft is read."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _AgreementSession(self.unit)


class _AgreementSession(VerifierSession):
    def __init__(self, unit: Unit | None) -> None:
        self._unit = unit

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        texts = [token.text for token in case.proposals[case.mentor].tokens]
        end = first_unit_end(texts, self._unit_of(case.draft))
        if "".join(texts[:end]) == case.draft.text:
            return Verdict(GENERATOR, upto=len(case.draft.tokens), why="agreement")
        return Abstain("disagreement")

    def is_settled(self, draft: Draft, offered: Sequence[Token]) -> bool:
        """Whether the first unit is complete and says what the draft says."""
        texts = [token.text for token in offered]
        end = first_unit_end(texts, self._unit_of(draft))
        return end is not None and "".join(texts[:end]) == draft.text

    def _unit_of(self, draft: Draft) -> Unit:
        return self._unit or draft.kind or WordUnit()
