import random
from collections.abc import Mapping, Sequence

import pytest
from support.verifying import PROBLEM, case, draft_alone

from collab import NOBODY, Abstain, Verdict, Verifier
from collab.errors import ContextOverflowError
from collab.proposals import Distribution, Proposal, Token
from collab.protocols import Case, RollOut
from collab.testing import check_verifier
from collab_policies.agreement import Agreement
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.self_judge import SelfJudge


class Judge:
    """Answers with given probabilities and remembers the questions."""

    def __init__(self, *answers: Mapping[str, float]) -> None:
        self.questions: list[str] = []
        self._answers = list(answers)

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        self.questions.append(question)
        return Distribution(self._answers.pop(0))

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        raise AssertionError("nothing is scored here")

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        raise AssertionError("nothing is observed here")

    async def roll_out(self, proposal: Proposal, seed: int) -> RollOut:
        raise AssertionError("nothing is rolled out here")


async def ask(verifier: Verifier, question: Case, judge: Judge | None = None) -> object:
    session = verifier.start(PROBLEM, random.Random(0))
    return await session.verify(question, judge or Judge())


@pytest.mark.parametrize("verifier", [Agreement(), AlwaysMentor(), SelfJudge(order="both")])
async def test_it_keeps_to_the_contract(verifier: Verifier) -> None:
    await check_verifier(verifier)


async def test_the_same_first_word_in_other_tokens_is_agreement() -> None:
    question = case([" there", "fore"], [], [" the", "re", "fore", " it"])

    assert await ask(Agreement(), question) == Verdict("generator", upto=2, why="agreement")


async def test_a_longer_first_word_is_no_agreement() -> None:
    question = case([" the"], [], [" the", "re", " it"])

    assert await ask(Agreement(), question) == Abstain("disagreement")


async def test_a_missing_leading_space_is_no_agreement() -> None:
    assert await ask(Agreement(), case([" so"], [], ["so", " it"])) == Abstain("disagreement")


async def test_a_proposal_of_one_word_is_compared_whole() -> None:
    verdict = await ask(Agreement(), case([" so"], [], [" so"]))

    assert verdict == Verdict("generator", upto=1, why="agreement")


async def test_agreement_needs_something_to_compare() -> None:
    assert await ask(Agreement(), draft_alone(" so")) == Abstain("no proposal to compare")


async def test_always_mentor_lets_the_mentor_stand_or_has_the_draft_redone() -> None:
    offered = await ask(AlwaysMentor(), case(["a"], ["a"], ["b"]))
    alone = await ask(AlwaysMentor(), draft_alone("a"))

    assert offered == Verdict("mentor", why="always the mentor")
    assert alone == Verdict(NOBODY, why="always the mentor")


async def test_in_fixed_order_the_mentor_is_b() -> None:
    judge = Judge({"A": 0.2, "B": 0.6})

    verdict = await ask(SelfJudge(cue="{a}|{b}"), case(["a"], ["own"], ["offered"]), judge)

    assert judge.questions == ["own|offered"]
    assert verdict == Verdict("mentor", score=0.6 / 0.8, why="self-judge, order fixed")


async def test_in_swapped_order_the_mentor_is_a() -> None:
    judge = Judge({"A": 0.1, "B": 0.4})

    verdict = await ask(
        SelfJudge(cue="{a}|{b}", order="swapped"), case(["a"], ["own"], ["offered"]), judge
    )

    assert judge.questions == ["offered|own"]
    assert verdict == Verdict("generator", score=0.1 / 0.5, why="self-judge, order swapped")


async def test_both_orders_are_averaged_so_that_a_preference_for_a_letter_cancels() -> None:
    judge = Judge({"A": 0.9, "B": 0.1}, {"A": 0.9, "B": 0.1})

    verdict = await ask(SelfJudge(order="both"), case(["a"], ["own"], ["offered"]), judge)

    # 0.1 as B and 0.9 as A: a tie, which is not above the threshold
    assert verdict == Verdict("generator", score=0.5, why="self-judge, order both")


async def test_the_last_bits_of_a_tie_do_not_decide() -> None:
    judge = Judge({"A": 0.9, "B": 0.1}, {"A": 0.9 + 1e-6, "B": 0.1})

    verdict = await ask(SelfJudge(order="both"), case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "generator"


async def test_a_judge_that_answers_neither_letter_keeps_the_generators() -> None:
    judge = Judge({"A": 0.0, "B": 0.0})

    verdict = await ask(SelfJudge(), case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.score) == ("generator", 0.5)


async def test_braces_in_a_continuation_stay_as_they_are() -> None:
    judge = Judge({"A": 1.0, "B": 0.0})

    await ask(SelfJudge(cue="{a}|{b}"), case(["a"], ["{b}{a}"], ["\\boxed{3}"]), judge)

    assert judge.questions == ["{b}{a}|\\boxed{3}"]


def test_a_cue_without_both_places_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the cue has to contain \{a\} and \{b\}"):
        SelfJudge(cue="choose {a}")


async def test_a_judge_without_room_for_the_question_abstains() -> None:
    class Full(Judge):
        async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
            raise ContextOverflowError("full")

    answer = await ask(SelfJudge(), case([" a"], [" a"], [" b"]), Full())

    assert answer == Abstain("no room in the context for the question")
