"""The way of one problem, step by step, with fake models whose every token is known."""

import random
from collections.abc import Callable, Sequence

import pytest

from collab import (
    NOBODY,
    Abstain,
    Budget,
    Consult,
    Continue,
    Controller,
    Draft,
    Finish,
    Inject,
    Mark,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Result,
    Until,
    Verdict,
    Verifier,
    VerifierSession,
    Verify,
    WordUnit,
)
from collab.decisions import Decision
from collab.protocols import Case, Handles
from collab.testing import FakeBackend, FakeModel
from collab.trace import Decided, Ended, RolledBack, Verified
from collab_policies.agreement import Agreement
from collab_policies.always import Always
from collab_policies.always_mentor import AlwaysMentor
from collab_policies.never import Never
from collab_policies.self_judge import SelfJudge


class Scripted(Policy):
    """Answers by the draft's unit; continues where nothing is said."""

    script: dict[int, object] = {}
    stride: int = 1

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return ScriptedSession(self.script, self.stride)


class ScriptedSession(PolicySession):
    def __init__(self, script: dict[int, object], stride: int) -> None:
        self._script = script
        self._stride = stride

    def ahead(self) -> int:
        return self._stride

    def decide(self, draft: Draft) -> Decision:
        answer = self._script.get(draft.unit, Continue())
        return answer(draft) if callable(answer) else answer  # type: ignore[return-value]


class Says(Verifier):
    """Gives a fixed answer."""

    verdict: object

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return SaysSession(self.verdict)


class SaysSession(VerifierSession):
    def __init__(self, verdict: object) -> None:
        self._verdict = verdict

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        return self._verdict  # type: ignore[return-value]


async def solve(
    policy: Policy,
    *,
    generator: FakeModel,
    mentor: FakeModel | None = None,
    verifiers: Sequence[Verifier] = (),
    budget: Budget | None = None,
    **options: object,
) -> Result:
    recipe = Recipe(policy=policy, verifiers=tuple(verifiers), **options)  # type: ignore[arg-type]
    async with Controller(
        generator=FakeBackend(model=generator),
        mentor=FakeBackend(model=mentor) if mentor else None,
        recipe=recipe,
        budget=budget or Budget(),
    ) as controller:
        return await controller.solve(Problem(id="p", prompt="q"))


def spans(result: Result) -> list[tuple[str, str]]:
    return [(span.author, span.text) for span in result.spans]


def fails_with(kind: type[Exception], match: str) -> Callable[[Result], None]:
    def check(result: Result) -> None:
        with pytest.raises(kind, match=match):
            result.raise_for_error()

    return check


# --- draft and decide -------------------------------------------------------------------------


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

    assert (result.text, result.reason) == ("a b", "policy: enough")


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


# --- consult ----------------------------------------------------------------------------------


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

    result = await solve(Always(), generator=generator, mentor=mentor, verifiers=[Agreement()])

    # Four consultations, one call: it proposed the rest of the text at the first.
    assert len([e for e in result.events if isinstance(e, Verified)]) == 4
    assert (mentor.calls, mentor.decoded) == (1, 5)


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


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(max_tokens=4), "budget: max_tokens"),
        (Budget(max_mentor_tokens=2), "budget: max_mentor_tokens"),
        (Budget(max_calls=3), "budget: max_calls"),
    ],
)
async def test_a_spent_budget_stops_the_problem_cleanly(budget: Budget, reason: str) -> None:
    result = await solve(
        Always(),
        generator=FakeModel("a b c d e f g h"),
        mentor=FakeModel("A B C D E F G H"),
        verifiers=[Says(verdict=Verdict("mentor"))],
        segment=Until(2),
        budget=budget,
    )

    assert (result.reason, result.error) == (reason, None)
    assert result.text.startswith("A B")
    assert isinstance(result.events[-1], Ended)


async def test_a_deadline_stops_a_stuck_model_and_keeps_what_stands() -> None:
    mentor = FakeModel("A B", is_stuck=True)

    result = await solve(
        Scripted(script={1: Consult()}),
        generator=FakeModel("a b c"),
        mentor=mentor,
        budget=Budget(deadline_s=0.05),
    )

    assert (result.text, result.reason) == ("a", "budget: deadline_s")
    assert [c.outcome for c in result.calls if c.role == "mentor"] == ["cancelled"]
    assert mentor.open_sessions == 0


async def test_a_policy_that_raises_fails_its_problem_with_the_partial_trace() -> None:
    def fail(draft: Draft) -> Decision:
        raise KeyError("oops")

    result = await solve(Scripted(script={2: fail}), generator=FakeModel("a b c d"))

    assert (result.reason, result.text) == ("error", "a b")
    fails_with(Exception, r"policy 'Scripted' raised at unit 2: KeyError: 'oops'")(result)


async def test_a_policy_that_returns_no_decision_is_told_so() -> None:
    result = await solve(Scripted(script={1: "consult"}), generator=FakeModel("a b c"))

    fails_with(Exception, r"returned 'consult' at unit 1; expected one of Continue")(result)


async def test_a_policy_that_asks_for_an_unknown_mentor_is_told_whom_there_is() -> None:
    result = await solve(
        Scripted(script={0: Consult("oracle")}), generator=FakeModel("a"), mentor=FakeModel("b")
    )

    fails_with(Exception, r"asked for the mentor 'oracle'; mentors of this pair: mentor")(result)


async def test_a_verdict_outside_its_case_is_refused() -> None:
    result = await solve(
        Scripted(script={0: Consult(max_tokens=2)}),
        generator=FakeModel("a b"),
        mentor=FakeModel("X Y"),
        verifiers=[Says(verdict=Verdict("mentor", upto=3))],
    )

    fails_with(Exception, r"verifier 'Says' returned Verdict\(.*expected Abstain or a Verdict")(
        result
    )


async def test_an_outage_is_an_error_and_never_the_end_of_a_text() -> None:
    result = await solve(Never(), generator=FakeModel("a b c", fails_at=0))

    assert (result.reason, result.text) == ("error", "")
    assert [call.outcome for call in result.calls] == ["failed"]
    fails_with(Exception, "call 0 of 'fake' failed as told")(result)
