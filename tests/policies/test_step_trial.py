"""`step-trial`: a step falls where it costs right answers."""

import random
from collections.abc import Sequence

import pytest
from support.steps import PROBLEM, draft

from collab import Problem
from collab.errors import NoReferenceError
from collab.proposals import Distribution, Proposal, Token
from collab.protocols import Case
from collab.testing import FakeDesk, check_verifier
from collab.verdicts import NOBODY, Abstain, Verdict
from collab_policies.step_trial import StepTrial

ASKED = Problem(id="p", prompt="q", answer="4")


class Tries(FakeDesk):
    """Roll-outs that end right a given number of times, from before and from behind the step."""

    def __init__(self, before: Sequence[bool], behind: Sequence[bool]) -> None:
        self._left = {False: list(before), True: list(behind)}
        self.seeds: list[int | None] = []

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        self.seeds.append(seed)
        is_right = self._left[bool(proposal.tokens)].pop()
        return Proposal(role, (Token(0, rf"\boxed{{{4 if is_right else 5}}}"),), "eos")

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        raise AssertionError("not asked")

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        raise AssertionError("not asked")

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        raise AssertionError("not asked")


async def tried(before: Sequence[bool], behind: Sequence[bool]) -> Verdict | Abstain:
    session = StepTrial(samples=4).start(ASKED, random.Random(0))
    one = draft()
    return await session.verify(Case(one, (one.proposal,), "", ""), Tries(before, behind))


async def test_it_keeps_to_the_contract() -> None:
    await check_verifier(StepTrial())


@pytest.mark.parametrize(
    ("before", "behind", "stands", "score"),
    [
        ([True] * 4, [True, True, True, False], NOBODY, -0.25),
        ([True] * 4, [True] * 4, "generator", 0.0),
        ([False] * 4, [True] * 4, "generator", 1.0),
        ([True] * 4, [False] * 4, NOBODY, -1.0),
    ],
)
async def test_a_step_falls_where_right_answers_get_rarer(
    before: Sequence[bool], behind: Sequence[bool], stands: str, score: float
) -> None:
    verdict = await tried(before, behind)

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.score) == (stands, score)


async def test_both_places_are_tried_with_one_seed() -> None:
    session = StepTrial(samples=2).start(ASKED, random.Random(0))
    models, one = Tries([True] * 2, [True] * 2), draft()

    await session.verify(Case(one, (one.proposal,), "", ""), models)

    assert models.seeds[0] == models.seeds[1] != models.seeds[2] == models.seeds[3]


def test_a_problem_without_an_answer_is_refused() -> None:
    with pytest.raises(NoReferenceError, match="no reference answer"):
        StepTrial().start(PROBLEM, random.Random(0))
