"""Drafting and deciding, with fake models whose every token is known."""

from support.plugins import Scripted, solve, spans

from collab import (
    Consult,
    Continue,
    Draft,
    Finish,
    Inject,
)
from collab.decisions import Decision
from collab.testing import FakeModel
from collab.trace import Decided
from collab_policies.never import Never


async def test_without_questions_the_generator_writes_alone() -> None:
    generator = FakeModel("one two three")

    result = await solve(Never(), generator=generator)

    assert (result.text, result.reason) == ("one two three", "eos")
    assert [call.purpose for call in result.calls] == ["draft"]


async def test_a_long_text_is_drafted_in_stretches_of_64_tokens() -> None:
    generator = FakeModel(" ".join(["w"] * 150))

    result = await solve(Never(), generator=generator)

    # The 65th token closes the 64th word; it is decoded ahead and not decoded again.
    assert [span.tokens for span in result.spans] == [63, 63, 24]
    assert result.usage["generator"].completion_tokens == 151  # and the end of the text
    assert generator.decoded == 151


async def test_units_in_front_of_the_next_question_are_committed_without_one() -> None:
    policy = Scripted(stride=3)

    result = await solve(policy, generator=FakeModel("a b c d e f g"))

    asked = [(e.unit, e.draft) for e in result.events if isinstance(e, Decided)]
    assert asked == [(2, " c"), (5, " f")]
    assert result.text == "a b c d e f g"


async def test_the_unit_that_ends_the_text_is_asked_about_too() -> None:
    seen: list[bool] = []

    def note(draft: Draft) -> Decision:
        seen.append(draft.is_last)
        return Continue()

    result = await solve(Scripted(script={0: note, 1: note}), generator=FakeModel("a b"))

    assert (seen, result.reason) == ([False, True], "eos")


async def test_the_answer_is_cut_at_its_cap() -> None:
    result = await solve(Never(), generator=FakeModel("a b c d e"), max_answer_tokens=3)

    assert (result.text, result.reason) == ("a b c", "length")


async def test_stop_strings_end_the_answer_and_are_not_part_of_it() -> None:
    generator = FakeModel("a b\n\nQuestion: c")

    result = await solve(Never(), generator=generator, stop_strings=("\n\nQuestion:",))

    assert (result.text, result.reason) == ("a b", "stop_string")


async def test_the_third_equal_unit_in_a_row_ends_the_answer_uncommitted() -> None:
    result = await solve(Never(), generator=FakeModel("a b b b b c"), repeat_limit=3)

    assert (result.text, result.reason) == ("a b b", "repeat")


async def test_finish_commits_the_draft_and_ends() -> None:
    policy = Scripted(script={1: Finish(why="enough")})

    result = await solve(policy, generator=FakeModel("a b c"))

    assert (result.text, str(result.ending)) == ("a b", "policy: enough")


async def test_injected_text_is_seen_by_whom_it_is_meant_for() -> None:
    policy = Scripted(
        script={
            0: Inject(" hint", visible_to=frozenset({"mentor"})),
            1: Inject(" said"),
            2: Consult(max_tokens=1),
        }
    )
    generator, mentor = FakeModel("a b c d e"), FakeModel("1 2 3 4 5 6")

    result = await solve(policy, generator=generator, mentor=mentor)

    # The fakes go on behind as many pieces as they see. The generator sees "a b said" and
    # drafts its fourth piece; the mentor sees the hint too and writes its fifth.
    assert spans(result) == [
        ("generator", "a"),
        ("policy:Scripted", " hint"),
        ("generator", " b"),
        ("policy:Scripted", " said"),
        ("mentor", " 5"),
        ("generator", " e"),
    ]
    assert result.text == "a b said 5 e"
