"""Cases that tests put to verifiers."""

from collections.abc import Sequence

from collab import Problem
from collab.decisions import Mark
from collab.proposals import Proposal, Token
from collab.protocols import Case, Draft

PROBLEM = Problem(id="p", prompt="q")


def proposal(author: str, *texts: str) -> Proposal:
    return Proposal(author, tuple(Token(0, text) for text in texts), "length")


def case(draft: Sequence[str], own: Sequence[str], offered: Sequence[str]) -> Case:
    unit = Draft(proposal("generator", *draft), 0, Mark(0), answer="")
    proposals = {
        "generator": proposal("generator", *own),
        "mentor": proposal("mentor", *offered),
    }
    return Case(unit, proposals, "mentor", answer="")


def draft_alone(*texts: str) -> Case:
    unit = Draft(proposal("generator", *texts), 0, Mark(0), answer="")
    return Case(unit, {"generator": unit.proposal}, "", answer="")
