"""The loop's small doors: watching, keeping a part, several mentors and proposals, what is kept."""

import random
from collections.abc import Callable, Sequence

import pytest
from pydantic import ValidationError
from support.plugins import Says, Scripted, fails_with, solve, spans

from collab import (
    NOBODY,
    Abstain,
    Case,
    Consult,
    Continue,
    Controller,
    Decision,
    Draft,
    Policy,
    PolicySession,
    Problem,
    Recipe,
    Result,
    Sampling,
    StepUnit,
    Token,
    TokenUnit,
    Until,
    Verdict,
    Verifier,
    VerifierDesk,
    VerifierSession,
    Verify,
)
from collab.errors import PluginCallError
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always

OWN, OTHER = "a b c d e f", "A B C D E F"


# --- watch ------------------------------------------------------------------------------------


class StopsAt(Policy):
    """Ends a unit at a text, and says what then."""

    text: str
    then: Decision
    raises: bool = False

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return _StopsAt(self)


class _StopsAt(PolicySession):
    def __init__(self, policy: StopsAt) -> None:
        self._policy = policy
        self.seen: list[tuple[str, bool, bool]] = []

    def watch(self, tokens: Sequence[Token]) -> bool:
        if self._policy.raises:
            raise ZeroDivisionError("mine")
        return tokens[-1].text == self._policy.text

    def decide(self, draft: Draft) -> Decision:
        self.seen.append((draft.text, draft.is_partial, draft.is_last))
        is_there = bool(draft.tokens) and draft.tokens[-1].text == self._policy.text
        return self._policy.then if is_there else Continue()

    def kept(self) -> object:
        return self.seen


async def test_a_policy_ends_its_unit_early_and_sees_what_there_is_of_it() -> None:
    generator = FakeModel(OWN)

    result = await solve(
        StopsAt(text=" c", then=Continue()), generator=generator, unit=TokenUnit(size=5)
    )

    assert result.text == OWN
    assert result.kept["policy"] == [("a b c", True, False), (" d e f", False, True)]
    # No token is decoded twice: six and the end of the text.
    assert generator.decoded == 7


async def test_a_watched_unit_ends_by_itself_too() -> None:
    result = await solve(
        StopsAt(text="never", then=Continue()),
        generator=FakeModel("a b\n\nc"),
        unit=StepUnit(),
    )

    assert result.text == "a b\n\nc"
    assert result.kept["policy"] == [("a b\n\n", False, False), ("c", False, True)]


async def test_a_watched_text_ends_at_its_longest_answer() -> None:
    result = await solve(
        StopsAt(text="never", then=Continue()),
        generator=FakeModel(OWN),
        unit=TokenUnit(size=4),
        max_answer_tokens=5,
    )

    assert (result.text, result.reason) == ("a b c d e", "length")


async def test_what_a_policy_raises_while_it_watches_fails_its_problem() -> None:
    result = await solve(StopsAt(text=" c", then=Continue(), raises=True), generator=FakeModel(OWN))

    fails_with(PluginCallError, "policy 'StopsAt' raised at unit 0: ZeroDivisionError: mine")(
        result
    )


# --- keep -------------------------------------------------------------------------------------


async def test_a_part_of_the_draft_is_kept_before_a_mentor_is_asked() -> None:
    generator, mentor = FakeModel(OWN), FakeModel(OTHER)

    result = await solve(
        Scripted(script={0: Consult(keep=2, max_tokens=1)}),
        generator=generator,
        mentor=mentor,
        unit=TokenUnit(size=4),
    )

    assert spans(result)[:3] == [("generator", "a b"), ("mentor", " C"), ("generator", " d e f")]


async def test_a_watched_draft_is_kept_up_to_the_token_that_ended_it() -> None:
    result = await solve(
        StopsAt(text=" c", then=Consult(keep=2, max_tokens=1)),
        generator=FakeModel(OWN),
        mentor=FakeModel(OTHER),
        unit=TokenUnit(size=5),
    )

    assert result.raise_for_error().text == "a b C d e f"


async def test_a_mentor_with_nothing_to_say_leaves_the_rest_of_a_watched_draft() -> None:
    result = await solve(
        StopsAt(text=" c", then=Consult(keep=2)),
        generator=FakeModel(OWN),
        mentor=FakeModel("A B nothing"),
        unit=TokenUnit(size=5),
        segment=Until(3, stop_strings=(" nothing",)),
    )

    assert (result.text, result.error) == (OWN, None)


@pytest.mark.parametrize("keep", [5, 9])
async def test_more_than_the_draft_cannot_be_kept(keep: int) -> None:
    result = await solve(
        Scripted(script={0: Consult(keep=keep)}),
        generator=FakeModel(OWN),
        mentor=FakeModel(OTHER),
        unit=TokenUnit(size=4),
    )

    fails_with(PluginCallError, f"keeps {keep} tokens at unit 0; the draft has 4")(result)


async def test_a_verdict_keeps_the_beginning_of_a_draft() -> None:
    result = await solve(
        Scripted(script={0: Verify(Consult(max_tokens=1))}),
        generator=FakeModel(OWN),
        mentor=FakeModel(OTHER),
        verifiers=[Says(verdict=Verdict("generator", upto=3))],
        unit=TokenUnit(size=4),
    )

    assert spans(result)[:2] == [("generator", "a b c"), ("mentor", " D")]


# --- several mentors, several proposals -------------------------------------------------------


class Chooses(Verifier):
    """Lets one of several proposals stand, and keeps what it saw."""

    author: str = "mentor"
    choice: int = 0

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        return _Chooses(self)


class _Chooses(VerifierSession):
    def __init__(self, options: Chooses) -> None:
        self._options = options
        self._seen: list[tuple[str, str]] = []

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        self._seen = [(one.author, one.text) for one in case.proposals]
        return Verdict(self._options.author, choice=self._options.choice)

    def kept(self) -> object:
        return self._seen


async def consult(
    decision: Consult, *verifiers: Verifier, generator: FakeModel | None = None, **options: object
) -> Result:
    recipe = Recipe(
        policy=Scripted(script={0: decision}),
        verifiers=verifiers,
        unit=TokenUnit(),
        segment=Until(2),
        **options,  # type: ignore[arg-type]
    )
    controller = Controller(
        generator=FakeBackend(model=generator or FakeModel(OWN)),
        mentor={
            "big": FakeBackend(model=FakeModel("1 2 3 4 5 6")),
            "small": FakeBackend(model=FakeModel("x y z u v w")),
        },
        recipe=recipe,
    )
    async with controller:
        return await controller.solve(Problem(id="p", prompt="q"))


async def test_several_mentors_are_asked_at_once_and_one_of_them_stands() -> None:
    result = await consult(Consult(mentors=("big", "small")), Chooses(author="small"))

    assert result.kept["verifier-0"] == [("generator", "a b"), ("big", "1 2"), ("small", "x y")]
    assert spans(result)[0] == ("small", "x y")


async def test_one_of_several_proposals_of_a_mentor_stands() -> None:
    result = await consult(
        Consult(mentor="big", n=3),
        Chooses(author="big", choice=2),
        sampling=Sampling(temperature=1.0),
    )

    assert [author for author, _ in result.kept["verifier-0"]] == [  # type: ignore[attr-defined]
        "generator",
        "big",
        "big",
        "big",
    ]
    assert spans(result)[0] == ("big", "1 2")
    assert result.usage["big"].kept_tokens == 2


async def test_a_proposal_that_is_not_there_is_refused() -> None:
    result = await consult(Consult(mentors=("big", "small")), Chooses(author="big", choice=1))

    fails_with(
        PluginCallError,
        "expected Abstain or a Verdict for one of generator, big, small, within its length",
    )(result)


async def test_the_choices_of_an_author_are_said() -> None:
    result = await consult(
        Consult(mentor="big", n=2),
        Chooses(author="big", choice=2),
        sampling=Sampling(temperature=1.0),
    )

    fails_with(PluginCallError, r"one of generator, big \(choice 0 to 1\), within")(result)


async def test_a_mentor_is_asked_once() -> None:
    result = await consult(Consult(mentors=("big", "big")))

    fails_with(PluginCallError, "asked one mentor twice: big, big; for several .* give `n`")(result)


async def test_several_proposals_of_a_greedy_mentor_are_refused() -> None:
    result = await consult(Consult(mentor="big", n=2))

    fails_with(PluginCallError, "2 alternatives were asked of the big, which writes the same")(
        result
    )


# --- a verdict of nobody ----------------------------------------------------------------------

REFUSES = Says(verdict=Verdict(NOBODY))


async def test_after_a_verdict_of_nobody_another_mentor_writes() -> None:
    result = await consult(Consult(mentor="big", redo=Consult("small", max_tokens=1)), REFUSES)

    assert spans(result)[0] == ("small", "x")


async def test_after_a_verdict_of_nobody_the_draft_may_stand() -> None:
    result = await consult(Consult(mentor="big", redo=Continue()), REFUSES)

    assert (result.text, result.error) == (OWN, None)


async def test_without_a_next_step_a_verdict_of_nobody_is_an_error() -> None:
    result = await consult(Consult(mentor="big"), REFUSES)

    fails_with(PluginCallError, "names no other mentor than 'big' to ask then; give its Consult")(
        result
    )


@pytest.mark.parametrize(
    ("redo", "told"),
    [
        (lambda: Consult(mentors=("small", "big")), "leave out mentors"),
        (lambda: Consult(n=2, keep=1), "leave out n, keep"),
        (lambda: Consult(redo=Continue()), "leave out redo"),
    ],
)
def test_a_redo_asks_one_mentor_once(redo: Callable[[], Consult], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Consult(redo=redo())
    with pytest.raises(ValidationError, match=told):
        Verify(redo())


async def test_a_mentor_that_was_refused_is_not_asked_to_redo() -> None:
    result = await consult(Consult(mentors=("big", "small"), redo=Consult("small")), REFUSES)

    fails_with(PluginCallError, "names no other mentor than 'big' and 'small' to ask then")(result)


# --- what is kept -----------------------------------------------------------------------------


class Counts(Policy):
    """Keeps how many units it saw; may fail at one of them."""

    fails_at: int = -1

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return _Counts(self.fails_at)


class _Counts(PolicySession):
    def __init__(self, fails_at: int) -> None:
        self._fails_at = fails_at
        self._count = 0

    def decide(self, draft: Draft) -> Decision:
        if self._count == self._fails_at:
            raise KeyError("mine")
        self._count += 1
        return Continue()

    def kept(self) -> object:
        return self._count


async def test_state_of_a_policy_comes_back_with_its_result() -> None:
    result = await solve(Counts(), generator=FakeModel(OWN), unit=TokenUnit(size=2))

    assert result.kept == {"policy": 3}


async def test_state_comes_back_of_a_problem_that_failed() -> None:
    result = await solve(Counts(fails_at=2), generator=FakeModel(OWN), unit=TokenUnit(size=2))

    assert (result.reason, result.kept) == ("error", {"policy": 2})


class Fumbles(Counts):
    """Fails when it is asked what it keeps."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return _Fumbles(self.fails_at)


class _Fumbles(_Counts):
    def kept(self) -> object:
        raise ZeroDivisionError("kept")


async def test_a_policy_that_cannot_say_what_it_keeps_fails_its_problem() -> None:
    result = await solve(Fumbles(), generator=FakeModel(OWN))

    fails_with(PluginCallError, r"policy 'Fumbles' raised in kept\(\): ZeroDivisionError: kept")(
        result
    )
    assert result.text == OWN


async def test_what_went_wrong_first_is_told() -> None:
    result = await solve(Fumbles(fails_at=1), generator=FakeModel(OWN), unit=TokenUnit(size=2))

    fails_with(PluginCallError, "KeyError: 'mine'")(result)


async def test_nothing_is_kept_unless_a_plugin_says_so() -> None:
    result = await solve(Always(), generator=FakeModel(OWN), mentor=FakeModel(OTHER))

    assert result.kept == {}
