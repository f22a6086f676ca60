"""`generator-logprob` and `mentor-logprob`: means per token, and what is known already."""

import pytest
from support.cases import Judge, ask, between, case, draft_alone, proposal
from support.plugins import Scripted, solve

from collab import Abstain, Consult, Verdict, Verifier
from collab.errors import ContextOverflowError
from collab.proposals import Proposal, Token
from collab.testing import FakeModel
from collab_policies.generator_logprob import GeneratorLogprob
from collab_policies.mentor_logprob import MentorLogprob


class Scorer(Judge):
    """Scores every text with given numbers and remembers what was scored."""

    def __init__(self, *logprobs: float | None) -> None:
        super().__init__()
        self.scored: list[tuple[str, str]] = []
        self._logprobs = logprobs

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        self.scored.append((role, text))
        return tuple(Token(0, "x", logprob) for logprob in self._logprobs)


class Full(Judge):
    """Has no room for anything."""

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        raise ContextOverflowError("full")


OWN = proposal("generator", "a", "b", logprobs=(-1.0, -2.0))
OFFERED = proposal("mentor", "x", "y", logprobs=(-0.5, -1.5))
QUESTION = between(OWN, OFFERED)


async def test_the_mentors_stands_if_the_generator_finds_it_likelier() -> None:
    models = Scorer(-0.5, -1.0, -1.5)

    verdict = await ask(GeneratorLogprob(), QUESTION, models)

    # its own -3/2 is known; the other's -3/3 is scored, in three tokens of the generator's
    assert models.scored == [("generator", "xy")]
    assert verdict == Verdict("mentor", score=0.5, why="likelier to the generator")


async def test_the_generators_stands_if_its_own_is_likelier() -> None:
    verdict = await ask(GeneratorLogprob(), QUESTION, Scorer(-2.0))

    assert verdict == Verdict("generator", score=-0.5, why="likelier to the generator")


async def test_under_the_mentor_the_generators_text_is_scored() -> None:
    models = Scorer(-0.25)

    verdict = await ask(MentorLogprob(), QUESTION, models)

    # the generator's -0.25, scored; the mentor's own -2/2 is known
    assert models.scored == [("mentor", "ab")]
    assert verdict == Verdict("generator", score=-0.75, why="likelier to the mentor")


async def test_another_mentor_scores_both() -> None:
    models = Scorer(-1.0)

    verdict = await ask(MentorLogprob(mentor="third"), QUESTION, models)

    assert models.scored == [("third", "ab"), ("third", "xy")]
    assert verdict == Verdict("generator", score=0.0, why="likelier to the third")


async def test_what_a_model_wrote_without_numbers_is_scored() -> None:
    models = Scorer(-1.0)
    question = between(proposal("generator", "a"), OFFERED)

    await ask(GeneratorLogprob(), question, models)

    assert models.scored == [("generator", "a"), ("generator", "xy")]


@pytest.mark.parametrize(("margin", "stands"), [(0.4, "mentor"), (0.5, "generator")])
async def test_the_mentors_has_to_lead_by_more_than_the_margin(margin: float, stands: str) -> None:
    verdict = await ask(GeneratorLogprob(margin_nats=margin), QUESTION, Scorer(-1.0))

    assert isinstance(verdict, Verdict)
    assert (verdict.stands, verdict.score) == (stands, 0.5)


async def test_a_negative_margin_hears_the_mentor_sooner() -> None:
    verdict = await ask(GeneratorLogprob(margin_nats=-1), QUESTION, Scorer(-2.0))

    assert isinstance(verdict, Verdict)
    assert verdict.stands == "mentor"


@pytest.mark.parametrize("offered", [proposal("mentor", stop="eos"), proposal("mentor", "", "")])
@pytest.mark.parametrize("verifier", [GeneratorLogprob(), MentorLogprob()])
async def test_an_empty_text_has_no_mean(verifier: Verifier, offered: Proposal) -> None:
    answer = await ask(verifier, between(OWN, offered), Scorer(-1.0))

    assert answer == Abstain("a proposal without a log-probability")


async def test_a_missing_number_is_not_passed_over() -> None:
    answer = await ask(GeneratorLogprob(), QUESTION, Scorer(-1.0, None))

    assert answer == Abstain("a proposal without a log-probability")


async def test_a_model_without_room_for_the_text_abstains() -> None:
    answer = await ask(GeneratorLogprob(), QUESTION, Full())

    assert answer == Abstain("no room in the context for a proposal")


async def test_a_draft_alone_is_not_compared() -> None:
    assert await ask(MentorLogprob(), draft_alone("a")) == Abstain("no proposal to compare")


@pytest.mark.parametrize(
    ("verifier", "role"), [(GeneratorLogprob(), "generator"), (MentorLogprob(mentor="m"), "m")]
)
def test_they_need_numbers_of_one_model(verifier: Verifier, role: str) -> None:
    assert {(need.role, need.ability) for need in verifier.needs} == {
        (role, "logprobs"),
        (role, "score"),
    }


async def test_scoring_is_in_the_ledger() -> None:
    result = await solve(
        Scripted(script={1: Consult(max_tokens=2)}),
        generator=FakeModel("a b c d"),
        mentor=FakeModel("A B C D"),
        verifiers=[GeneratorLogprob()],
    )

    # 0 for its own text, -1 for anything else: see FakeSession.score
    assert result.text == "a b c d"
    assert [call.role for call in result.calls if call.purpose == "score"] == ["generator"]


async def test_a_margin_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite number"):
        GeneratorLogprob(margin_nats=float("nan"))


async def test_nothing_is_compared_with_an_empty_draft() -> None:
    answer = await ask(GeneratorLogprob(), case([""], [""], ["x"]), Scorer(-1.0))

    assert answer == Abstain("a proposal without a log-probability")
