import random

import pytest

from collab import Problem
from collab.decisions import Consult, Continue, Mark
from collab.proposals import Proposal, Token
from collab.protocols import Draft, Policy
from collab.testing import check_policy
from collab_policies.always import Always
from collab_policies.entropy import Entropy
from collab_policies.never import Never
from collab_policies.random_positions import RandomPositions

PROBLEM = Problem(id="p", prompt="q")


def draft(*entropies: float) -> Draft:
    tokens = tuple(Token(0, "x", entropy_nats=entropy) for entropy in entropies)
    return Draft(Proposal("generator", tokens, "unit"), 0, Mark(0), answer="")


@pytest.mark.parametrize("policy", [Never(), Always(), RandomPositions(), Entropy()])
def test_it_keeps_to_the_contract(policy: Policy) -> None:
    check_policy(policy)


def test_always_asks_at_every_unit() -> None:
    session = Always().start(PROBLEM, random.Random(0))

    assert session.ahead() == 1
    assert session.decide(draft()) == Consult(why="always")


def test_never_asks_not_to_be_asked() -> None:
    session = Never().start(PROBLEM, random.Random(0))

    assert session.ahead() > 10**9
    assert session.decide(draft()) == Continue()


def test_random_positions_are_one_draw_per_unit_from_the_problems_stream() -> None:
    draws = random.Random(5)
    hits = [unit for unit in range(200) if draws.random() < 0.24]
    session = RandomPositions(rate=0.24).start(PROBLEM, random.Random(5))

    units, position = [], -1
    while position < hits[-1]:
        position += session.ahead()
        units.append(position)
        assert session.decide(draft()) == Consult(why="drawn")

    assert units == hits


def test_a_rate_of_one_asks_at_every_unit_and_a_rate_of_zero_never() -> None:
    always = RandomPositions(rate=1).start(PROBLEM, random.Random(0))
    never = RandomPositions(rate=0).start(PROBLEM, random.Random(0))

    assert always.ahead() == 1
    assert never.ahead() > 1000
    assert never.decide(draft()) == Continue()


@pytest.mark.parametrize(("reduction", "value"), [("first", 0.5), ("mean", 1.0), ("max", 2.0)])
def test_entropy_is_reduced_over_the_unit(reduction: str, value: float) -> None:
    policy = Entropy(threshold_nats=value, reduction=reduction)  # type: ignore[arg-type]
    stricter = Entropy(threshold_nats=value + 0.01, reduction=reduction)  # type: ignore[arg-type]
    unit = draft(0.5, 0.5, 2.0)

    decision = policy.start(PROBLEM, random.Random(0)).decide(unit)
    other = stricter.start(PROBLEM, random.Random(0)).decide(unit)

    assert decision == Consult(why="unsure", signal=value)
    assert other == Continue(why="sure", signal=value)


def test_a_unit_without_entropies_is_left_alone() -> None:
    session = Entropy().start(PROBLEM, random.Random(0))

    assert session.decide(draft()) == Continue(why="no tokens")


def test_entropy_asks_for_its_k_of_the_generator() -> None:
    policy = Entropy(top_k=7)

    assert policy.entropy_top_k == 7
    assert [(need.role, need.ability, need.amount) for need in policy.needs] == [
        ("generator", "entropy", 7),
        ("mentor", "text", 0),
    ]
