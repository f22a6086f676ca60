"""The verifier `oracle`: roll-outs against the gold answer, and what they leave behind."""

import random
from dataclasses import replace
from functools import partial

import pytest
from support.cases import Judge, ask, between, draft_alone, proposal
from support.plugins import Scripted, fails_with

from collab import Abstain, Consult, Controller, Problem, Recipe, Result, Verdict
from collab.errors import ContextOverflowError, NoReferenceError
from collab.proposals import Proposal, StopReason, Token
from collab.testing import FakeBackend, FakeModel
from collab.trace import Verified
from collab.views import ThinkingTags, ViewOptions
from collab_policies.oracle import Oracle

OWN, OFFERED = proposal("generator", "own"), proposal("mentor", "offered")


class Future(Judge):
    """Writes a given text behind each author's proposal."""

    def __init__(self, *, stop: StopReason = "eos", **texts: str) -> None:
        super().__init__()
        self.max_tokens: list[int] = []
        self._texts = texts
        self._stop = stop

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        self.max_tokens.append(max_tokens)
        return Proposal(role, (Token(0, self._texts[proposal.author]),), self._stop)


@pytest.mark.parametrize(
    ("own", "offered", "stands", "score", "why"),
    [
        ("4", "4", "generator", 0.5, "both lead to the right answer"),
        ("4", "5", "generator", 0.0, "only the generator's leads to the right answer"),
        ("5", "4", "mentor", 1.0, "only the mentor's leads to the right answer"),
        ("5", "6", "generator", 0.5, "neither leads to the right answer"),
    ],
)
async def test_the_one_that_leads_to_the_gold_answer_stands(
    own: str, offered: str, stands: str, score: float, why: str
) -> None:
    future = Future(generator=f" The answer is {own}.", mentor=f" The answer is {offered}.")

    verdict = await ask(Oracle(), between(OWN, OFFERED), future)

    assert verdict == Verdict(stands, score=score, why=why)


async def test_the_answer_may_begin_before_the_roll_out() -> None:
    question = replace(between(OWN, OFFERED), answer="The answer")
    question = replace(question, proposals=(OWN, proposal("mentor", " is")))

    verdict = await ask(Oracle(), question, Future(generator=" is 5.", mentor=" 4."))

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"


async def test_what_a_stop_string_takes_back_is_no_part_of_the_answer() -> None:
    class Stops(Judge):
        async def roll_out(
            self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
        ) -> Proposal:
            return Proposal(role, (), "stop_string", stop_string="5!", stop_overlap=1)

    question = between(proposal("generator", "is 45"), proposal("mentor", "is 415"))
    question = replace(question, answer="The answer ")

    verdict = await ask(Oracle(), question, Stops())

    assert isinstance(verdict, Verdict)
    assert verdict.why == "only the generator's leads to the right answer"


async def test_what_an_attempt_only_thinks_is_no_answer() -> None:
    tags = ThinkingTags(opening="[T]", closing="[/T]")
    question = replace(between(OWN, OFFERED), thinking=tags)
    future = Future(generator=" The answer is 4.[/T] Well.", mentor="[/T] The answer is 4.")

    verdict = await ask(Oracle(), question, future)

    assert isinstance(verdict, Verdict)
    assert verdict.why == "only the mentor's leads to the right answer"


async def test_an_attempt_that_is_cut_off_is_not_right() -> None:
    future = Future(stop="length", generator=" It is 5", mentor=" The answer is 4")

    verdict = await ask(Oracle(max_tokens=9), between(OWN, OFFERED), future)

    assert isinstance(verdict, Verdict)
    assert verdict.why == "neither leads to the right answer"
    assert future.max_tokens == [9, 9]


async def test_answers_are_looked_for_as_in_the_run() -> None:
    future = Future(generator=" so 5", mentor=" so 4")

    verdict = await ask(Oracle(extraction="last-number"), between(OWN, OFFERED), future)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"


async def test_a_draft_alone_is_not_tried_out() -> None:
    assert await ask(Oracle(), draft_alone("a")) == Abstain("no proposal to compare")


async def test_a_model_without_room_for_an_attempt_abstains() -> None:
    class Full(Judge):
        async def roll_out(
            self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
        ) -> Proposal:
            raise ContextOverflowError("full")

    answer = await ask(Oracle(), between(OWN, OFFERED), Full())

    assert answer == Abstain("no room in the context to try a proposal out")


def test_a_problem_without_a_gold_answer_is_refused() -> None:
    with pytest.raises(NoReferenceError, match="'p' has no reference answer.*give every problem"):
        Oracle().start(Problem(id="p", prompt="q"), random.Random(0))


# --- with models ------------------------------------------------------------------------------


async def solve(problem: Problem, **options: object) -> Result:
    """Have the oracle choose once, behind `We add.`, between ` So 5.` and ` The answer is`."""
    generator = FakeModel("We add. So 5. The answer is 5.")
    mentor = FakeModel("We add. The answer is 4.")
    make = partial(Recipe, policy=Scripted(script={2: Consult(max_tokens=3)}))
    async with Controller(
        generator=FakeBackend(model=generator),
        mentor=FakeBackend(model=mentor),
        recipe=make(verifiers=(Oracle(),), **options),  # type: ignore[arg-type]
    ) as controller:
        return await controller.solve(problem)


async def test_nothing_is_spent_on_a_problem_without_a_gold_answer() -> None:
    result = await solve(Problem(id="p", prompt="q"))

    fails_with(NoReferenceError, "'p' has no reference answer")(result)
    assert result.calls == ()


async def test_attempts_are_graded_by_the_generators_own_tags() -> None:
    generator = FakeModel("We add. So 5. The answer is 5.")
    view = ViewOptions(thinking=ThinkingTags(opening="[T]", closing=" answer"))
    recipe = Recipe(policy=Scripted(script={2: Consult(max_tokens=3)}), verifiers=(Oracle(),))
    async with Controller(
        generator=FakeBackend(model=generator, view=view),
        mentor=FakeBackend(model=FakeModel("We add. The answer is 4.")),
        recipe=recipe,
    ) as controller:
        result = await controller.solve(Problem(id="p", prompt="q", answer="5"))

    (verdict,) = [event.verdict for event in result.events if isinstance(event, Verified)]
    assert verdict.why == "neither leads to the right answer"
    assert result.thinking == view.thinking


async def test_attempts_are_probes_in_the_ledger_and_leave_no_text() -> None:
    result = await solve(Problem(id="p", prompt="q", answer="5"))
    alone = "We add. So 5. The answer is 5."

    probes = [call for call in result.calls if call.purpose == "probe"]
    assert result.text == alone
    assert [call.role for call in probes] == ["generator", "generator"]
    # ` The answer is 5.` and the end, behind either: decoded by a fork, and nothing of it is kept
    assert [(call.completion_tokens, call.kept_tokens) for call in probes] == [(6, 0), (6, 0)]
    assert [call.discarded_tokens for call in probes] == [6, 6]


async def test_what_was_looked_ahead_is_not_computed_again_for_an_attempt() -> None:
    result = await solve(Problem(id="p", prompt="q", answer="5"))

    own, offered = [call for call in result.calls if call.purpose == "probe"]
    # prompt and 6 pieces are cached for its own; the mentor's 3 are new to the generator
    assert (own.prompt_tokens, own.fresh_tokens) == (7, 0)
    assert (offered.prompt_tokens, offered.fresh_tokens) == (7, 3)


async def test_an_attempt_ends_with_the_longest_answer() -> None:
    result = await solve(Problem(id="p", prompt="q", answer="5"), max_answer_tokens=10)

    probes = [call for call in result.calls if call.purpose == "probe"]
    # 3 tokens of the answer and 3 of the proposal leave 4 of 10.
    assert [call.completion_tokens for call in probes] == [4, 4]
    assert result.text == "We add. So 5. The answer is 5"


async def test_nothing_is_tried_out_behind_an_end() -> None:
    generator, mentor = FakeModel("a b"), FakeModel("A The answer is 4.")
    recipe = Recipe(policy=Scripted(script={1: Consult(max_tokens=9)}), verifiers=(Oracle(),))
    pair = {"generator": FakeBackend(model=generator), "mentor": FakeBackend(model=mentor)}
    async with Controller(**pair, recipe=recipe) as controller:  # type: ignore[arg-type]
        result = await controller.solve(Problem(id="p", prompt="q", answer="4"))

    # Both proposals reach their ends, so that both are graded as they are.
    assert "probe" not in [call.purpose for call in result.calls]
    assert result.text == "a The answer is 4."
