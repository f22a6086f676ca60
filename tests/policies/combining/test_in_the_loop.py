"""Combined policies in the loop that asks them, with fake models whose every token is known."""

from support.lettered import Lettered
from support.plugins import solve, spans

from collab import StepUnit, Until
from collab.testing import FakeModel
from collab_policies.always import Always
from collab_policies.combining.any_of import AnyOf
from collab_policies.combining.budgeted import Budgeted
from collab_policies.combining.cooldown import Cooldown
from collab_policies.combining.every_k import EveryK
from collab_policies.combining.hysteresis import Hysteresis
from collab_policies.never import Never

ONE_TOKEN = Until(max_tokens=1)
GENERATOR = "a b c d e f g"
MENTOR = "A B C D E F G"


async def test_every_third_word_is_a_mentors_and_the_rest_is_written_in_one_go() -> None:
    result = await solve(
        EveryK(policy=Always(), k=3),
        generator=FakeModel(GENERATOR),
        mentor=FakeModel(MENTOR),
        segment=ONE_TOKEN,
    )

    assert result.text == "a b C d e F g"


async def test_after_a_mentors_word_one_word_passes() -> None:
    result = await solve(
        Cooldown(policy=Always(), units=1),
        generator=FakeModel(GENERATOR),
        mentor=FakeModel(MENTOR),
        segment=ONE_TOKEN,
    )

    assert result.text == "A b C d E f G"


async def test_two_questions_and_then_the_generator_alone_in_one_call() -> None:
    generator = FakeModel(GENERATOR)

    result = await solve(
        Budgeted(policy=AnyOf(policies=(Never(), Always())), questions=2),
        generator=generator,
        mentor=FakeModel(MENTOR),
        segment=ONE_TOKEN,
    )

    assert result.text == "A B c d e f g"
    # Two drafts that were asked about, and the rest.
    assert [call.purpose for call in result.calls if call.role == "generator"] == ["draft"] * 3


async def test_a_policy_knows_how_much_mentors_have_decoded() -> None:
    result = await solve(
        Budgeted(policy=Always(), mentor_tokens=4),
        generator=FakeModel(GENERATOR),
        mentor=FakeModel(MENTOR),
        segment=Until(max_tokens=2),
    )

    # Two answers of two tokens each reach the bound.
    assert result.text == "A B C D e f g"
    assert result.usage["mentor"].completion_tokens == 4


async def test_a_wish_before_the_word_has_a_mentor_write_it_before_the_draft_is_complete() -> None:
    before = Lettered(name="mentor", script=".?", first_tokens=0)

    result = await solve(
        AnyOf(policies=(Never(), before)),
        generator=FakeModel(GENERATOR),
        mentor=FakeModel(MENTOR),
        segment=ONE_TOKEN,
    )

    assert result.text == "a B c D e F g"
    assert result.kept["policy"] == [None, [""] * 7]


async def test_a_signal_that_stays_high_keeps_the_mentor_writing() -> None:
    signals = Lettered(signals=(0, 2, 1, 0, 0, 0, 0))

    result = await solve(
        Hysteresis(policy=signals, high=2, low=1),
        generator=FakeModel(GENERATOR),
        mentor=FakeModel(MENTOR),
        segment=ONE_TOKEN,
    )

    assert result.text == "a B C d e f g"


async def test_a_watcher_among_others_ends_a_unit_early() -> None:
    watching = Lettered(last_token=" c")

    result = await solve(
        AnyOf(policies=(Lettered(), watching)),
        generator=FakeModel(GENERATOR),
        unit=StepUnit(),
    )

    assert [text for _, text in spans(result)] == ["a b c", " d e f g"]
