"""The verifier `agreement`: where the mentor writes the same word, there is nothing to verify."""

import random
from collections.abc import Sequence
from typing import assert_never

from pydantic import Field

from collab.problems import Problem
from collab.proposals import Token
from collab.protocols import Case, Draft, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.units import StepUnit, TokenUnit, Unit, WordUnit, first_unit_end
from collab.verdicts import Abstain, Verdict

_BLANKS = (" ", "\n")


class Agreement(Verifier):
    """Keep the draft if the mentor's proposal starts with the same unit; abstain otherwise.

    Compared as text, leading space included, without normalisation: the mentor's text has to begin
    with the draft, and to have a boundary there. Where both tokenizers put a boundary is no matter:
    ` is:` agrees with ` is:` and a line break. A proposal that ends sooner is compared whole. A
    mentor that agrees needs to write no more than that.

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

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        texts = [token.text for token in case.offered.tokens]
        unit = self._unit_of(case.draft)
        is_whole = "".join(texts) == case.draft.text and first_unit_end(texts, unit) is None
        if is_whole or _agrees(texts, case.draft.text, unit):
            return Verdict(GENERATOR, upto=len(case.draft.tokens), why="agreement")
        return Abstain("disagreement")

    def is_settled(self, draft: Draft, offered: Sequence[Token]) -> bool:
        """Whether the first unit is complete and says what the draft says."""
        return _agrees([token.text for token in offered], draft.text, self._unit_of(draft))

    def _unit_of(self, draft: Draft) -> Unit:
        return self._unit or draft.kind or WordUnit()


def _agrees(texts: Sequence[str], draft: str, unit: Unit) -> bool:
    """Whether what was offered surely begins with the draft as a unit, whatever may follow."""
    end = first_unit_end(texts, unit)
    if end is not None and "".join(texts[:end]) == draft:
        return True
    offered = "".join(texts)
    if not draft or not offered.startswith(draft):
        return False
    match unit:
        case WordUnit():
            return draft.endswith(_BLANKS) or offered[len(draft) :].startswith(_BLANKS)
        case StepUnit():
            return draft.endswith(unit.delimiter)
        case TokenUnit():
            return False
        case _:
            assert_never(unit)
