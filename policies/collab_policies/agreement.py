"""The verifier `agreement`: where the mentor writes the same word, there is nothing to verify."""

import random

from collab.problems import Problem
from collab.protocols import Case, Handles, Verifier, VerifierSession
from collab.roles import GENERATOR
from collab.units import Unit, WordUnit, first_unit
from collab.verdicts import Abstain, Verdict


class Agreement(Verifier):
    """Keep the draft if the mentor's proposal starts with the same unit; abstain otherwise.

    Compared as text, leading space included, without normalisation. The mentor's
    proposal is cut into units of its own tokens; one too short to be sure of its first unit is
    compared whole.

    References:
        MentorCollab, arXiv:2602.05307: units are compared as strings.
    """

    unit: Unit = WordUnit()

    @property
    def reads_look_ahead(self) -> bool:
        """Only the draft is read."""
        return False

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        return _AgreementSession(self.unit)


class _AgreementSession(VerifierSession):
    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        texts = [token.text for token in case.proposals[case.mentor].tokens]
        if first_unit(texts, self._unit) == case.draft.text:
            return Verdict(GENERATOR, upto=len(case.draft.tokens), why="agreement")
        return Abstain("disagreement")
