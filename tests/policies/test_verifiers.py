import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.cases import Judge, ask, case, draft_alone
from support.steps import PROBLEM

from collab import NOBODY, Abstain, Verdict, Verifier
from collab.errors import ContextOverflowError, ModelCallError
from collab.proposals import Distribution
from collab.testing import check_verifier
from collab.units import StepUnit
from collab_policies.agreement import Agreement
from collab_policies.always_generator import AlwaysGenerator
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.coin import Coin
from collab_policies.generator_logprob import GeneratorLogprob
from collab_policies.mentor_judge import MentorJudge
from collab_policies.mentor_logprob import MentorLogprob
from collab_policies.oracle import Oracle
from collab_policies.self_judge import SelfJudge


@pytest.mark.parametrize(
    "verifier",
    [
        Agreement(),
        AlwaysGenerator(),
        AlwaysMentor(),
        Coin(),
        GeneratorLogprob(),
        MentorJudge(),
        MentorLogprob(),
        Oracle(),
        SelfJudge(order="both"),
    ],
)
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


@pytest.mark.parametrize(
    ("draft", "offered"),
    [
        ([" is", ":"], [" is", ":\n", "12"]),
        ([" is", ":\n"], [" is", ":", "\n", "12"]),
        ([" is", ":\n"], [" is:\n\\[", "12"]),
        ([" so"], [" so it"]),
    ],
)
async def test_the_same_text_is_agreement_wherever_tokens_end(
    draft: list[str], offered: list[str]
) -> None:
    question = case(draft, [], offered)

    assert await ask(Agreement(), question) == Verdict(
        "generator", upto=len(draft), why="agreement"
    )


@pytest.mark.parametrize("offered", [[" is", ":x", " y"], [" is", "\n", ":"], [" i", "sn", " t"]])
async def test_text_that_goes_on_otherwise_within_the_word_is_no_agreement(
    offered: list[str],
) -> None:
    assert await ask(Agreement(), case([" is", ":"], [], offered)) == Abstain("disagreement")


async def test_a_step_agrees_wherever_the_mentors_tokens_end() -> None:
    step = case(["So", ".\n\n"], [], ["So.\n", "\nNow", " it"])
    step = replace(step, draft=replace(step.draft, kind=StepUnit()))

    assert await ask(Agreement(), step) == Verdict("generator", upto=2, why="agreement")


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
    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.why) == ("mentor", "judged by the generator, order fixed")
    assert verdict.score == pytest.approx(0.5)  # (0.6 - 0.2) / 0.8


async def test_in_swapped_order_the_mentor_is_a() -> None:
    judge = Judge({"A": 0.1, "B": 0.4})

    verdict = await ask(
        SelfJudge(cue="{a}|{b}", order="swapped"), case(["a"], ["own"], ["offered"]), judge
    )

    assert judge.questions == ["offered|own"]
    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.why) == ("generator", "judged by the generator, order swapped")
    assert verdict.score == pytest.approx(-0.6)  # (0.1 - 0.4) / 0.5


async def test_both_orders_are_averaged_so_that_a_preference_for_a_letter_cancels() -> None:
    judge = Judge({"A": 0.9, "B": 0.1}, {"A": 0.9, "B": 0.1})

    verdict = await ask(SelfJudge(order="both"), case(["a"], ["own"], ["offered"]), judge)

    # 0.1 as B and 0.9 as A: a tie, which is not above the threshold
    why = "judged by the generator, order both"
    assert verdict == Verdict("generator", score=0.0, why=why)


async def test_in_both_orders_the_score_is_the_mean_margin() -> None:
    judge = Judge({"A": 0.1, "B": 0.9}, {"A": 0.6, "B": 0.4})

    verdict = await ask(SelfJudge(order="both"), case(["a"], ["own"], ["offered"]), judge)

    # as B (0.9 - 0.1), as A (0.6 - 0.4): (0.8 + 0.2) / 2
    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"
    assert verdict.score == pytest.approx(0.5)


async def test_the_threshold_is_a_share_of_both_labels() -> None:
    judges = [Judge({"A": 0.3, "B": 0.7}) for _ in range(2)]
    question = case(["a"], ["own"], ["offered"])

    lax = await ask(SelfJudge(threshold=0.6), question, judges[0])
    strict = await ask(SelfJudge(threshold=0.8), question, judges[1])

    assert isinstance(lax, Verdict)
    assert isinstance(strict, Verdict)
    assert (lax.stands, strict.stands) == ("mentor", "generator")
    assert lax.score == strict.score == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("likeliest", "stands"),
    [("B", "mentor"), (" B", "mentor"), ("A", "generator"), ("(", "generator"), ("", "generator")],
)
async def test_the_published_reading_takes_the_mentors_only_if_b_is_the_likeliest_token(
    likeliest: str, stands: str
) -> None:
    judge = Judge(Distribution({"A": 0.1, "B": 0.2}, likeliest))

    verdict = await ask(SelfJudge(reading="likeliest"), case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == stands
    assert verdict.score == pytest.approx(1 / 3)  # (0.2 - 0.1) / 0.3, whatever is likeliest


@pytest.mark.parametrize(
    ("labels", "likeliest", "stands"),
    [
        (("A)", "B)"), "B", "mentor"),
        (("A)", "B)"), "A", "generator"),
        (("option A", "option B"), "option", "generator"),
    ],
)
async def test_a_label_of_several_tokens_is_told_by_its_first(
    labels: tuple[str, str], likeliest: str, stands: str
) -> None:
    judge = Judge(Distribution({labels[0]: 0.1, labels[1]: 0.2}, likeliest))
    verifier = SelfJudge(reading="likeliest", labels=labels)

    verdict = await ask(verifier, case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == stands


async def test_agreement_compares_the_drafts_own_kind_of_unit() -> None:
    question = case(["So"], [], ["So", " a", ".\n\n", "So"])
    step = replace(question, draft=replace(question.draft, kind=StepUnit()))
    session = Agreement().start(PROBLEM, random.Random(0))
    offered = question.offered.tokens

    assert isinstance(await ask(Agreement(), question), Verdict)
    assert isinstance(await ask(Agreement(), step), Abstain)
    assert session.is_settled(question.draft, offered)
    assert not session.is_settled(step.draft, offered)


async def test_swapped_the_mentors_has_to_be_written_as_a() -> None:
    question = case(["a"], ["own"], ["offered"])
    verifier = SelfJudge(reading="likeliest", order="swapped")

    as_a = await ask(verifier, question, Judge(Distribution({"A": 0.6, "B": 0.2}, "A")))
    as_b = await ask(verifier, question, Judge(Distribution({"A": 0.2, "B": 0.6}, "B")))

    assert isinstance(as_a, Verdict)
    assert isinstance(as_b, Verdict)
    assert (as_a.stands, as_b.stands) == ("mentor", "generator")


@pytest.mark.parametrize(("second", "stands"), [("A", "mentor"), ("B", "generator")])
async def test_in_both_orders_the_mentors_label_has_to_be_the_likeliest_twice(
    second: str, stands: str
) -> None:
    swapped = {"A": 0.3, "B": 0.3, second: 0.4}
    judge = Judge(Distribution({"A": 0.1, "B": 0.9}, "B"), Distribution(swapped, second))
    verifier = SelfJudge(reading="likeliest", order="both")

    verdict = await ask(verifier, case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == stands


async def test_a_judge_that_does_not_say_its_likeliest_token_is_an_error_that_says_what_to_do() -> (
    None
):
    question = case(["a"], ["own"], ["offered"])

    with pytest.raises(
        ModelCallError,
        match="the generator does not say which token is its likeliest, .*; set reading to 'share'",
    ):
        await ask(SelfJudge(reading="likeliest"), question, Judge({"A": 0.1, "B": 0.9}))


def test_the_published_reading_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="the reading 'likeliest' has no threshold"):
        SelfJudge(reading="likeliest", threshold=0.6)


async def test_other_labels_are_asked_for() -> None:
    judge = Judge({"left": 0.2, "right": 0.6})
    verifier = SelfJudge(cue="left{a} or right{b}? ", labels=("left", "right"))

    verdict = await ask(verifier, case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"


@pytest.mark.parametrize("labels", [("A", "A"), ("A", " ")])
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="the two labels have to differ, and none may be empty"):
        SelfJudge(labels=labels)


async def test_a_mentor_judge_asks_the_mentor_the_same_question() -> None:
    own, other = Judge({"A": 0.2, "B": 0.6}), Judge({"A": 0.2, "B": 0.6})
    question = case(["a"], ["own"], ["offered"])

    await ask(SelfJudge(), question, own)
    verdict = await ask(MentorJudge(mentor="large"), question, other)

    assert (own.asked, other.asked) == (["generator"], ["large"])
    assert own.questions == other.questions
    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.why) == ("mentor", "judged by the large, order fixed")


def test_a_mentor_judge_needs_the_mentors_label_probabilities() -> None:
    (need,) = MentorJudge(mentor="large").needs

    assert (need.role, need.ability) == ("large", "judge")


async def test_the_last_bits_of_a_tie_do_not_decide() -> None:
    judge = Judge({"A": 0.9, "B": 0.1}, {"A": 0.9 + 1e-6, "B": 0.1})

    verdict = await ask(SelfJudge(order="both"), case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "generator"


async def test_a_judge_that_answers_neither_letter_keeps_the_generators() -> None:
    judge = Judge({"A": 0.0, "B": 0.0})

    verdict = await ask(SelfJudge(), case(["a"], ["own"], ["offered"]), judge)

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.score) == ("generator", 0.0)


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
