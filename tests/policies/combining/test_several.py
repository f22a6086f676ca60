"""`any-of` and `first-of`: several policies as one."""

import random

from support.lettered import (
    ASKS,
    PROBLEM,
    STAYS,
    WORDS,
    Lettered,
    asking_units,
    decisions,
    draft,
    started,
)

from collab import Consult, Continue, Finish, Inject, Verdict, Verify
from collab_policies.combining.any_of import AnyOf
from collab_policies.combining.first_of import FirstOf
from collab_policies.glimprouter import FirstTokenEntropy
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions
from collab_policies.unsure_token import UnsureToken

# --- any-of ---------------------------------------------------------------------------------------


def test_any_of_asks_where_one_asks_and_takes_the_first_that_does() -> None:
    second = Lettered(name="second", script="?.?")
    third = Lettered(name="third", script="??.")

    found = decisions(started(AnyOf(policies=(STAYS, second, third))), 3)

    assert found == [Consult("second"), Consult("third"), Consult("second")]


def test_any_of_continues_with_the_signal_of_the_first() -> None:
    first = Lettered(name="first", signals=(0.25,))

    assert decisions(started(AnyOf(policies=(first, STAYS))), 1) == [
        Continue(why="first", signal=0.25)
    ]


def test_any_of_asks_rather_than_injects_and_injects_rather_than_continues() -> None:
    injects, verifies = Lettered(name="i", script="ii"), Lettered(name="v", script="v.")

    found = decisions(started(AnyOf(policies=(STAYS, injects, verifies))), 2)

    assert found == [Verify(why="v"), Inject("Hm.", why="i")]


def test_any_of_shows_all_policies_every_unit() -> None:
    session = started(AnyOf(policies=(ASKS, STAYS)))

    decisions(session, 2)

    assert session.kept() == [["One two three"] * 2] * 2


def test_what_became_of_a_question_is_told_to_the_policy_that_asked() -> None:
    session = started(AnyOf(policies=(STAYS, ASKS)))
    stays, asks = (voice.session for voice in session._voices)  # type: ignore[attr-defined]
    decisions(session, 1)

    session.learn(Verdict("mentor"))

    assert (stays._verdicts, asks._verdicts) == ([], ["mentor"])


def test_the_next_question_is_at_the_least_distance_and_only_those_that_are_due_are_asked() -> None:
    twos, threes = Lettered(name="2", script="?", stretch=2), Lettered(name="3", stretch=3)
    session = started(AnyOf(policies=(threes, twos)))

    distances = [(session.ahead(), session.decide(draft())) for _ in range(4)]

    # Units 2, 3, 4 and 6, counted from 1; both are asked at the last.
    assert [one for one, _ in distances] == [2, 1, 1, 2]
    assert [type(one) for _, one in distances] == [Consult, Continue, Consult, Consult]


def test_positions_drawn_ahead_stay_where_they_are_beside_another_policy() -> None:
    random_alone = RandomPositions(rate=0.3)
    stream = random.Random(random.Random(3).getrandbits(64))
    alone = asking_units(random_alone.start(PROBLEM, stream), 200)

    beside = asking_units(started(AnyOf(policies=(random_alone, STAYS))), 200)

    assert len(alone) > 30
    assert beside == alone


def test_each_policy_glimpses_at_as_many_tokens_as_it_asks_for() -> None:
    one = Lettered(name="one", first_tokens=1)
    none = Lettered(name="none", first_tokens=0)
    two = Lettered(name="two", script="?", first_tokens=2)
    session = started(AnyOf(policies=(one, none, two, STAYS)))

    assert session.ahead() == 1
    assert session.glimpse() == 2
    assert session.decide_before(draft("One", " two")) == Consult("two")
    assert session.kept() == [["One"], [""], ["One two"], None]


def test_a_policy_that_asked_for_a_stretch_does_not_glimpse_at_its_last_unit() -> None:
    late = Lettered(name="late", stretch=2, first_tokens=1)
    session = started(AnyOf(policies=(late, STAYS)))

    looks = [(session.ahead(), session.glimpse(), session.decide(draft()))[:2] for _ in range(2)]

    assert looks == [(1, None), (1, None)]


def test_a_unit_ends_where_one_of_the_policies_ends_it() -> None:
    session = started(AnyOf(policies=(STAYS, Lettered(last_token=" two"))))
    session.ahead()

    ends = [session.watch(draft(*WORDS[:count]).tokens) for count in (1, 2)]

    assert session.is_watching
    assert ends == [False, True]


def test_without_a_policy_that_watches_nothing_is_watched() -> None:
    assert not started(AnyOf(policies=(STAYS, FirstTokenEntropy()))).is_watching
    assert started(AnyOf(policies=(STAYS, UnsureToken()))).is_watching


# --- first-of -------------------------------------------------------------------------------------


def test_first_of_takes_the_first_that_wants_something_whatever_it_is() -> None:
    finishes = Lettered(name="finishes", script=".f")
    found = decisions(started(FirstOf(policies=(STAYS, finishes, ASKS))), 2)

    assert found == [Consult("a"), Finish(why="finishes")]


def test_first_of_does_not_show_a_unit_to_policies_after_the_one_that_decides() -> None:
    session = started(FirstOf(policies=(ASKS, STAYS)))

    decisions(session, 2)

    assert session.kept() == [["One two three"] * 2, None]


def test_first_of_continues_where_no_policy_wants_anything() -> None:
    assert decisions(started(FirstOf(policies=(STAYS, Never()))), 1) == [Continue(why="b")]


def test_of_policies_that_decide_before_a_unit_the_first_decides() -> None:
    glimpsing = [Lettered(name=name, script="?", first_tokens=1) for name in ("x", "y")]
    session = started(FirstOf(policies=tuple(glimpsing)))

    assert decisions(session, 1) == [Consult("x")]
    assert session.kept() == [["One"], None]
