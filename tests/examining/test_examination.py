"""What is found of models: of those that can be diagnosed, and of a stranger's that cannot."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from collab import Problem, Recipe
from collab.capabilities import Capabilities
from collab.errors import ModelCallError
from collab.examining.examination import Examination, Report
from collab.seam.diagnosis import Diagnosis, TemplateCheck
from collab.testing import FakeBackend, FakeModel
from collab.testing.fakes import ALL_CAPABILITIES
from collab.views import View
from collab_policies.always import Always
from collab_policies.mentorcollab_free import MentorCollabFree

RECIPE = Recipe(policy=Always(), max_answer_tokens=100)


@dataclass(eq=False)
class Telling(FakeModel):
    """Says of itself what it is told to say."""

    told: object = Diagnosis()
    length: int | None = None

    async def diagnose(self, view: View) -> Diagnosis:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told  # type: ignore[return-value]

    def prompt_tokens(self, view: View) -> int | None:
        return self.length


async def examined(
    generator: FakeModel,
    mentor: FakeModel,
    recipe: Recipe = RECIPE,
    problems: tuple[Problem, ...] = (),
) -> Report:
    backends = {"generator": FakeBackend(model=generator), "mentor": FakeBackend(model=mentor)}
    async with AsyncExitStack() as stack:
        return await Examination(backends, recipe, problems).examine(stack)


def limited(context_tokens: int) -> Capabilities:
    return replace(ALL_CAPABILITIES, context_tokens=context_tokens)


async def test_a_model_that_cannot_be_diagnosed_is_unknown() -> None:
    report = await examined(FakeModel("a"), FakeModel("b"))

    assert [one.diagnosis for one in report.participants] == [Diagnosis(), Diagnosis()]
    assert report.pairings == {"mentor": "unknown"}
    assert (report.failures, report.warnings) == ([], [])


async def test_a_diagnosis_of_another_kind_is_a_note() -> None:
    report = await examined(FakeModel("a"), Telling("b", told=5))

    assert "it returned 5" in report.participants[1].diagnosis.notes[0]
    assert report.failures == []


@pytest.mark.parametrize(
    ("told", "failure"),
    [
        (KeyError("x"), "it cannot be diagnosed: KeyError: 'x'"),
        (ModelCallError("status 422"), "a first call failed: status 422"),
    ],
)
async def test_models_are_not_fine_after_a_call_that_failed(told: object, failure: str) -> None:
    report = await examined(FakeModel("a"), Telling("b", told=told))

    assert report.participants[1].diagnosis.failure == failure
    assert report.failures == ["the mentor cannot be used"]


@pytest.mark.parametrize(
    ("theirs", "pairing", "note"),
    [
        ("x", "same", "have the same tokenizer"),
        ("y", "different", "text is handed over at safe cuts"),
        ("", "unknown", "may have different tokenizers, which works"),
    ],
)
async def test_vocabularies_are_compared(theirs: str, pairing: str, note: str) -> None:
    report = await examined(
        Telling("a", told=Diagnosis(tokenizer="x")), Telling("b", told=Diagnosis(tokenizer=theirs))
    )

    assert report.pairings == {"mentor": pairing}
    assert note in report.notes[0]


async def test_a_context_shorter_than_the_longest_text_is_a_warning_with_numbers() -> None:
    mentor = Telling("b", capabilities=limited(4_096), length=4_000)

    report = await examined(FakeModel("a"), mentor, problems=(Problem(prompt="q"),))

    assert (
        "the mentor's context of 4,096 tokens is shorter than the longest prompt with its answer: "
        "4,000 + 100 (max_answer_tokens) = 4,100" in report.warnings
    )


async def test_a_length_that_cannot_be_counted_is_taken_from_the_other_or_from_characters() -> None:
    problems = (Problem(prompt="x" * 800), Problem(prompt="y"))
    by_other = await examined(
        Telling("a", length=7), FakeModel("b", capabilities=limited(50)), problems=problems
    )
    by_characters = await examined(FakeModel("a"), FakeModel("b"), problems=problems)

    assert "about 7 + 100 (max_answer_tokens) = 107" in by_other.warnings[0]
    assert [one.longest_prompt for one in by_characters.participants] == [200, 200]


async def test_a_mentor_with_a_shorter_context_than_the_generator_is_a_warning() -> None:
    report = await examined(
        FakeModel("a", capabilities=limited(32_768)), FakeModel("b", capabilities=limited(4_096))
    )

    (warning,) = report.warnings
    assert "the mentor's context of 4,096 tokens is shorter than the generator's 32,768" in warning


@pytest.mark.parametrize(
    ("check", "warning"),
    [
        (TemplateCheck(10, True, 1, 11), "counted 11 tokens for a prompt that has 10 here"),
        (TemplateCheck(10, True, 2, 10), "begin with 2 beginning-of-text tokens"),
    ],
)
async def test_a_template_that_goes_wrong_is_a_warning(check: TemplateCheck, warning: str) -> None:
    report = await examined(FakeModel("a"), Telling("b", told=Diagnosis(template=check)))

    assert warning in report.warnings[0]


async def test_a_prompt_that_text_changes_matters_only_where_text_is_sent() -> None:
    told = Diagnosis(template=TemplateCheck(10, False))
    by_ids = Telling("a", told=told)
    by_text = Telling("b", told=told, capabilities=Capabilities(prefix_mode="text"))

    report = await examined(by_ids, by_text)

    (warning,) = report.warnings
    assert "the mentor's prompt has other tokens once it was decoded" in warning


async def test_one_model_in_two_roles_is_a_note() -> None:
    model = FakeModel("a")
    placed = Diagnosis(model="m", place="http://host/v1")

    same_object = await examined(model, model)
    same_place = await examined(Telling("a", told=placed), Telling("b", told=placed))

    for report in (same_object, same_place):
        assert "the generator and the mentor are the same model" in report.notes[-1]
        assert report.failures == []


async def test_every_need_is_listed_with_its_state() -> None:
    cannot = FakeModel("a", capabilities=Capabilities(prefix_mode="text"))

    report = await examined(cannot, FakeModel("b"), MentorCollabFree().recipe())

    assert [(one.match.plugin, one.state) for one in report.needs] == [
        ("RandomPositions", "met"),
        ("SelfJudge", "missing"),
    ]
    assert report.failures == ["SelfJudge needs judge of the generator"]
