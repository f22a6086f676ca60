"""Consulting and verifying, with fake models whose every token is known."""

import pytest
from support.plugins import KeepsDraft, Says, Scripted, fails_with, solve, spans

from collab import (
    NOBODY,
    Abstain,
    Consult,
    Controller,
    Mark,
    Recipe,
    Until,
    Verdict,
    Verify,
    WordUnit,
)
from collab.errors import PluginCallError
from collab.testing import FakeBackend, FakeModel
from collab.trace import RolledBack, Verified
from collab.units import TokenUnit
from collab_policies.agreement import Agreement
from collab_policies.always import Always
from collab_policies.always_generator import AlwaysGenerator
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.self_judge import SelfJudge

REFUSED = Verdict(NOBODY)


async def test_the_mentor_writes_from_the_start_of_the_draft() -> None:
    policy = Scripted(script={1: Consult(max_tokens=2)})
    generator, mentor = FakeModel("a b c d e"), FakeModel("A B C D E")

    result = await solve(policy, generator=generator, mentor=mentor, verifiers=[AlwaysMentor()])

    assert spans(result)[:2] == [("generator", "a"), ("mentor", " B C")]
    assert result.text == "a B C d e"
    assert result.mentor_share == 2 / 5


async def test_an_agreeing_mentor_keeps_the_draft_without_a_judge() -> None:
    policy = Scripted(script={1: Consult()})
    generator, mentor = FakeModel("a b c"), FakeModel("A b X")

    result = await solve(
        policy, generator=generator, mentor=mentor, verifiers=[Agreement(), SelfJudge()]
    )

    assert result.text == "a b c"
    assert "judge" not in [call.purpose for call in result.calls]
    verified = next(e for e in result.events if isinstance(e, Verified))
    assert (verified.verdict.why, verified.verifier) == ("agreement", "Agreement")


async def test_the_generator_looks_ahead_and_nothing_of_it_is_decoded_twice() -> None:
    policy = Scripted(script={1: Consult(max_tokens=3)})
    generator, mentor = FakeModel("a b c d e f"), FakeModel("A X Y Z")
    generator.labels = {"A": 0.9, "B": 0.1}

    result = await solve(policy, generator=generator, mentor=mentor, verifiers=[SelfJudge()])

    # The judge takes the generator's segment whole: b c d, from its look-ahead.
    assert spans(result)[1] == ("generator", " b c d")
    # six words, one end of text, one judgement
    assert generator.decoded == 6 + 1 + 1
    assert result.usage["generator"].kept_tokens == 6


async def test_the_judge_may_take_the_mentors_segment() -> None:
    policy = Scripted(script={1: Consult(max_tokens=2)})
    generator, mentor = FakeModel("a b c d"), FakeModel("A X Y Z")
    generator.labels = {"A": 0.1, "B": 0.9}

    result = await solve(policy, generator=generator, mentor=mentor, verifiers=[SelfJudge()])

    assert result.text == "a X Y d"


async def test_without_a_verifier_the_mentor_stands() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=1)}),
        generator=FakeModel("a b"),
        mentor=FakeModel("X"),
    )

    assert result.text == "X b"


async def test_where_all_verifiers_abstain_the_generator_stands() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=1)}),
        generator=FakeModel("a b"),
        mentor=FakeModel("X"),
        verifiers=[Says(verdict=Abstain()), Agreement()],
    )

    assert result.text == "a b"
    verified = next(e for e in result.events if isinstance(e, Verified))
    assert (verified.verdict.why, verified.verifier) == ("no verifier decided", "")


async def test_a_verdict_may_let_only_a_part_stand() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=3)}),
        generator=FakeModel("a b c"),
        mentor=FakeModel("X Y Z"),
        verifiers=[Says(verdict=Verdict("mentor", upto=2))],
    )

    assert result.text == "X Y c"


async def test_a_mentor_that_ends_the_text_ends_the_problem() -> None:
    result = await solve(
        Scripted(script={1: Consult()}), generator=FakeModel("a b c d"), mentor=FakeModel("A B")
    )

    assert (result.text, result.reason) == ("a B", "eos")


async def test_a_rejected_draft_is_redone_by_the_mentor() -> None:
    policy = Scripted(script={1: Verify(redo=Consult(max_tokens=1))})

    result = await solve(
        policy,
        generator=FakeModel("a b c"),
        mentor=FakeModel("A B C"),
        verifiers=[Says(verdict=Verdict(NOBODY))],
    )

    assert result.text == "a B c"


async def test_an_accepted_draft_costs_no_mentor_call() -> None:
    mentor = FakeModel("A B C")

    result = await solve(
        Scripted(script={1: Verify()}),
        generator=FakeModel("a b c"),
        mentor=mentor,
        verifiers=[Says(verdict=Verdict("generator"))],
    )

    assert (result.text, mentor.calls) == ("a b c", 0)


async def test_a_consultation_may_go_back_to_an_earlier_mark() -> None:
    policy = Scripted(script={2: Consult(max_tokens=2, back_to=Mark(1))})

    result = await solve(policy, generator=FakeModel("a b c d e"), mentor=FakeModel("A B C D E"))

    assert result.text == "a B C d e"
    assert any(isinstance(event, RolledBack) for event in result.events)
    # b was committed and taken back, c was never committed: neither is kept
    assert result.usage["generator"].kept_tokens == 3


async def test_the_mentor_pays_nothing_for_text_that_follows_its_own_proposal() -> None:
    generator, mentor = FakeModel("a b c d"), FakeModel("a b c d")

    result = await solve(Always(), generator=generator, mentor=mentor, verifiers=[KeepsDraft()])

    # Four consultations, one call: it proposed the rest of the text at the first.
    assert len([e for e in result.events if isinstance(e, Verified)]) == 4
    assert (mentor.calls, mentor.decoded) == (1, 5)


async def test_a_mentor_that_agrees_stops_behind_its_first_unit() -> None:
    generator, mentor = FakeModel("a b c d"), FakeModel("a b x y z")

    result = await solve(
        Scripted(script={0: Consult()}),
        generator=generator,
        mentor=mentor,
        verifiers=[Agreement(unit=TokenUnit())],
    )

    assert result.text == "a b c d"
    assert mentor.decoded == 1


async def test_several_mentors_are_asked_by_name() -> None:
    recipe = Recipe(
        policy=Scripted(script={0: Consult("old", 1), 1: Consult("wise", 1)}),
        unit=WordUnit(),
        segment=Until(1),
    )
    mentors = {
        "old": FakeBackend(model=FakeModel("O P Q")),
        "wise": FakeBackend(model=FakeModel("V W X")),
    }

    async with Controller(
        generator=FakeBackend(model=FakeModel("a b c")), mentor=mentors, recipe=recipe
    ) as controller:
        result = await controller.solve("q")

    assert spans(result) == [("old", "O"), ("wise", " W"), ("generator", " c")]


async def test_a_segment_shorter_than_the_last_draft_does_not_end_the_answer() -> None:
    policy = Scripted(script={0: Consult(max_tokens=2)})
    generator, mentor = FakeModel("a b c"), FakeModel("X Y Z")

    result = await solve(
        policy,
        generator=generator,
        mentor=mentor,
        verifiers=[AlwaysGenerator()],
        unit=TokenUnit(size=4),
    )

    assert spans(result) == [("generator", "a b"), ("generator", " c")]
    assert (result.text, result.reason) == ("a b c", "eos")


async def test_a_segment_that_just_reaches_the_end_ends_the_answer_as_the_draft_would() -> None:
    policy = Scripted(script={0: Consult(max_tokens=3)})
    generator, mentor = FakeModel("a b c"), FakeModel("X Y Z")

    result = await solve(
        policy,
        generator=generator,
        mentor=mentor,
        verifiers=[AlwaysGenerator()],
        unit=TokenUnit(size=4),
    )

    assert (result.text, result.reason) == ("a b c", "eos")


async def test_a_mentor_that_says_nothing_at_the_very_beginning_is_no_end() -> None:
    result = await solve(
        Scripted(script={0: Consult()}), generator=FakeModel("a b c"), mentor=FakeModel("")
    )

    assert (result.text, result.reason) == ("a b c", "eos")


async def test_a_mentor_may_end_a_text_that_has_begun() -> None:
    result = await solve(
        Scripted(script={2: Consult()}), generator=FakeModel("a b c d"), mentor=FakeModel("a b")
    )

    assert (result.text, result.reason) == ("a b", "eos")


async def test_a_draft_that_stands_in_part_is_redone_from_there() -> None:
    policy = Scripted(script={0: Verify(redo=Consult(max_tokens=1))})

    result = await solve(
        policy,
        generator=FakeModel("a b c d"),
        mentor=FakeModel("A B C D"),
        verifiers=[Says(verdict=Verdict("generator", upto=1))],
        unit=TokenUnit(size=3),
    )

    # a stands, the mentor writes the second token, and the generator goes on from the third.
    assert spans(result)[:2] == [("generator", "a"), ("mentor", " B")]
    assert result.text == "a B c d"


async def test_nothing_refused_is_committed_where_no_proposal_of_a_consultation_stands() -> None:
    mentors = {
        "small": FakeBackend(model=FakeModel("S S S")),
        "large": FakeBackend(model=FakeModel("L M N")),
    }
    asking = Consult("small", 2, redo=Consult("large", 1))
    recipe = Recipe(
        policy=Scripted(script={0: asking}), unit=WordUnit(), verifiers=(Says(verdict=REFUSED),)
    )

    async with Controller(
        generator=FakeBackend(model=FakeModel("a b c")), mentor=mentors, recipe=recipe
    ) as controller:
        result = await controller.solve("q")

    assert spans(result) == [("large", "L"), ("generator", " b"), ("generator", " c")]


@pytest.mark.parametrize("redo", [None, Consult(max_tokens=1)])
async def test_a_refused_consultation_without_another_mentor_is_an_error(
    redo: Consult | None,
) -> None:
    result = await solve(
        Scripted(script={0: Consult(redo=redo)}),
        generator=FakeModel("a b c"),
        mentor=FakeModel("A B C"),
        verifiers=[Says(verdict=REFUSED)],
    )

    assert result.text == ""
    fails_with(PluginCallError, "names no other mentor than 'mentor' to ask then")(result)
