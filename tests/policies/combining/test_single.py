"""`every-k`, `cooldown`, `budgeted` and `hysteresis`: what becomes of one policy's questions."""

import pytest
from support.lettered import ASKS, Lettered, asking_units, decisions, draft, started

from collab import Consult, Continue, Finish, Inject
from collab_policies.always import Always
from collab_policies.combining.budgeted import Budgeted
from collab_policies.combining.cooldown import Cooldown
from collab_policies.combining.every_k import EveryK
from collab_policies.combining.hysteresis import Hysteresis
from collab_policies.glimprouter import FirstTokenEntropy
from collab_policies.never import Never

# --- every-k --------------------------------------------------------------------------------------


def test_every_k_asks_at_every_kth_unit_and_skips_to_it() -> None:
    assert started(EveryK(policy=Always(), k=3)).ahead() == 3
    assert asking_units(started(EveryK(policy=Always(), k=3)), 10) == [2, 5, 8]


def test_every_k_counts_only_its_units_for_the_policy() -> None:
    assert started(EveryK(policy=Lettered(stretch=4), k=3)).ahead() == 12
    assert started(EveryK(policy=Never(), k=3)).ahead() > 10**9


def test_a_policy_may_look_into_every_kth_unit() -> None:
    session = started(EveryK(policy=Lettered(script="?", first_tokens=1), k=3))

    stretches = [(session.ahead(), session.glimpse()) for _ in range(4)]

    assert stretches == [(2, None), (1, 1), (2, None), (1, 1)]


def test_units_between_are_neither_asked_about_nor_watched() -> None:
    session = started(EveryK(policy=Lettered(script="?", last_token=" two"), k=2))

    session.ahead()
    between = (session.is_watching, session.decide(draft()))
    session.ahead()

    assert between == (False, Continue(why="between"))
    assert (session.is_watching, session.decide(draft())) == (True, Consult("lettered"))


# --- cooldown -------------------------------------------------------------------------------------


def test_after_a_question_there_is_none_for_so_many_units() -> None:
    assert asking_units(started(Cooldown(policy=ASKS, units=2)), 8) == [0, 3, 6]


def test_a_cooldown_counts_the_units_of_a_stretch() -> None:
    policy = Lettered(script="?", stretch=3)

    # Asked at units 2, 5, 8 and 11; after a question 4 units have to pass.
    assert asking_units(started(Cooldown(policy=policy, units=4)), 12) == [2, 8]


def test_while_it_cools_down_a_policy_sees_the_units_and_may_finish() -> None:
    session = started(Cooldown(policy=Lettered(script="?v?f", signals=(0.5,)), units=5))

    assert decisions(session, 4)[1:] == [
        Continue(why="cooling down"),
        Continue(why="cooling down", signal=0.5),
        Finish(why="lettered"),
    ]
    assert session.kept() == ["One two three"] * 4


def test_a_wish_before_a_unit_cools_down_as_well() -> None:
    policy = Lettered(script="?", first_tokens=1)

    assert asking_units(started(Cooldown(policy=policy, units=1)), 5) == [0, 2, 4]


# --- budgeted -------------------------------------------------------------------------------------


def test_after_its_questions_the_generator_writes_alone() -> None:
    session = started(Budgeted(policy=Lettered(script="?.v"), questions=2))

    assert asking_units(session, 9) == [0, 2]
    assert session.ahead() > 10**9


def test_no_question_at_all_may_be_left() -> None:
    session = started(Budgeted(policy=ASKS, questions=0))

    assert session.ahead() > 10**9
    assert session.decide(draft()) == Continue(why="budget spent")


def test_once_mentors_have_decoded_so_much_nothing_more_is_asked() -> None:
    session = started(Budgeted(policy=ASKS, mentor_tokens=10))

    found = [session.decide(draft(mentor_tokens=count)) for count in (0, 9, 10)]

    assert found == [Consult("a"), Consult("a"), Continue(why="budget spent")]
    assert session.ahead() > 10**9


def test_a_budget_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="give questions, mentor_tokens or both"):
        Budgeted(policy=ASKS)


# --- hysteresis -----------------------------------------------------------------------------------


def test_it_asks_from_the_high_signal_until_one_below_the_low() -> None:
    signals = (0.6, 1.0, 0.6, 0.5, 0.4, 0.6)
    policy = Hysteresis(policy=Lettered(signals=signals), high=1.0, low=0.5, mentor="large")

    found = decisions(started(policy), 6)

    on = [Consult("large", why="not yet below", signal=signal) for signal in signals[1:4]]
    off = [Continue(why="below", signal=signal) for signal in (0.6, 0.4, 0.6)]
    assert found == [off[0], *on, *off[1:]]


def test_how_a_policy_asks_is_kept_and_when_it_asks_is_not() -> None:
    policy = Hysteresis(policy=Lettered(name="m", script="?", signals=(0.1, 2)), high=1, low=1)

    assert decisions(started(policy), 2) == [
        Continue(why="below", signal=0.1),
        Consult("m", signal=2),
    ]


def test_a_unit_without_a_signal_is_treated_as_the_last_one() -> None:
    policy = Hysteresis(policy=Lettered(signals=(None, 2, None)), high=1, low=1)

    found = decisions(started(policy), 3)

    assert [type(one) for one in found] == [Continue, Consult, Consult]


def test_what_is_injected_and_an_end_pass() -> None:
    policy = Hysteresis(policy=Lettered(script="if"), high=1, low=1)

    assert decisions(started(policy), 2) == [
        Inject("Hm.", why="lettered"),
        Finish(why="lettered"),
    ]


def test_a_signal_of_first_tokens_is_judged_before_the_step() -> None:
    policy = FirstTokenEntropy(threshold_nats=99)

    [decision] = decisions(started(Hysteresis(policy=policy, high=0.5, low=0.1)), 1)

    assert decision == Consult(why="not yet below", signal=0.5)


def test_the_low_threshold_is_not_above_the_high_one() -> None:
    with pytest.raises(ValueError, match=r"low 2\.0 is above high 1\.0"):
        Hysteresis(policy=ASKS, high=1, low=2)
