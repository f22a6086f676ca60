"""What mentors offer when they go wrong, before every verifier."""

from collections.abc import Sequence

import pytest
from support.cases import Judge, ask, between, proposal
from support.plugins import fails_with

from collab import Controller, Problem, Recipe, Result, Verifier
from collab.errors import ModelCallError
from collab.proposals import Distribution, Proposal, StopReason, Token
from collab.testing import FakeBackend, FakeModel
from collab.verdicts import Abstain, Verdict
from collab_backends.local.backend import LocalTorch
from collab_policies.agreement import Agreement
from collab_policies.always import Always
from collab_policies.always_generator import AlwaysGenerator
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.coin import Coin
from collab_policies.generator_logprob import GeneratorLogprob
from collab_policies.mentor_judge import MentorJudge
from collab_policies.mentor_logprob import MentorLogprob
from collab_policies.oracle import Oracle
from collab_policies.self_judge import SelfJudge

VERIFIERS: list[Verifier] = [
    Agreement(),
    AlwaysGenerator(),
    AlwaysMentor(),
    Coin(probability=1),
    GeneratorLogprob(margin_nats=-9),
    MentorJudge(),
    MentorLogprob(margin_nats=-9),
    Oracle(max_tokens=3),
    SelfJudge(threshold=0),
]
BAD: dict[str, tuple[tuple[str, ...], StopReason]] = {
    "empty": ((), "eos"),
    "spaces": ((" ", "  "), "length"),
    "half a character": (("", ""), "length"),
    "repeating": ((" a",) * 16, "length"),
}


class Even(Judge):
    """Cannot tell anything from anything."""

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        return Distribution(dict.fromkeys(labels, 0.5))

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        return (Token(0, text, -1.0),) if text else ()

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        return Proposal(role, (), "length")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda one: type(one).__name__)
async def test_a_bad_offer_gets_a_valid_answer(
    verifier: Verifier, bad: tuple[tuple[str, ...], StopReason]
) -> None:
    texts, stop = bad
    question = between(proposal("generator", " own"), proposal("mentor", *texts, stop=stop))

    answer = await ask(verifier, question, Even())

    assert isinstance(answer, Abstain) or (
        isinstance(answer, Verdict) and answer.stands in ("generator", "mentor")
    )


@pytest.mark.parametrize("writes", ["", "   ", "so " * 200], ids=["empty", "spaces", "repeating"])
@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda one: type(one).__name__)
async def test_a_bad_mentor_neither_fails_nor_stalls_a_problem(
    verifier: Verifier, writes: str
) -> None:
    generator = FakeModel("a b c d e f", labels={"A": 0.5, "B": 0.5})
    mentor = FakeModel(writes, labels={"A": 0.5, "B": 0.5})
    recipe = Recipe(policy=Always(), verifiers=(verifier,), max_answer_tokens=24, repeat_limit=3)

    async with Controller(
        generator=FakeBackend(model=generator), mentor=FakeBackend(model=mentor), recipe=recipe
    ) as controller:
        result = await controller.solve(Problem(id="p", prompt="q", answer="4"))

    assert result.error is None
    assert result.reason in ("eos", "length", "repeat")
    assert result.mentor_share <= 1


async def test_labels_that_a_judge_cannot_tell_apart_fail_with_what_to_do() -> None:
    pair = {
        "generator": LocalTorch(model="lab/generator", threads=1),
        "mentor": LocalTorch(model="lab/mentor-b", threads=1),
    }
    judge = SelfJudge(cue="{a}|{b}", labels=("1", "12"))
    recipe = Recipe(policy=Always(), verifiers=(judge,), max_answer_tokens=16)

    async with Controller(**pair, recipe=recipe) as controller:  # type: ignore[arg-type]
        result: Result = await controller.solve("Mod 10: m = 8, c = m - 2. What is c?\n\n")

    fails_with(
        ModelCallError,
        "labels '1', '12' begin with the same token in 'lab/generator'; choose labels that differ",
    )(result)
