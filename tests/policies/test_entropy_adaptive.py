"""Entropy-adaptive decoding: the band has two edges."""

import random

import pytest
from pydantic import ValidationError
from support.plugins import spans
from support.steps import PROBLEM, draft, run

from collab.decisions import Consult, Continue
from collab.testing import FakeModel, check_policy, check_recipe
from collab_policies.entropy_adaptive import EntropyAdaptive, EntropyBand


def test_it_keeps_to_the_contract() -> None:
    check_policy(EntropyBand())
    check_recipe(EntropyAdaptive())


def test_the_author_changes_at_either_edge_of_the_band() -> None:
    session = EntropyBand(window=1, high_nats=1.0, low_nats=0.5).start(PROBLEM, random.Random(0))
    entropies = [0.7, 1.0, 0.7, 0.49, 0.7, 1.2]

    decisions = [session.decide_before(draft(entropies=[one])) for one in entropies]

    assert [isinstance(one, Consult) for one in decisions] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert decisions[1] == Consult(why="unsure", signal=1.0)


def test_the_mean_is_over_the_generators_last_tokens() -> None:
    session = EntropyBand(window=3, high_nats=1.0).start(PROBLEM, random.Random(0))

    session.decide_before(draft(entropies=[2.0]))
    assert session.decide(draft(entropies=[2.0, 0.5, 0.5])) == Continue(signal=1.0)


def test_without_entropies_the_generator_writes() -> None:
    session = EntropyBand().start(PROBLEM, random.Random(0))

    assert session.decide_before(draft(entropies=[None])) == Continue()


def test_a_band_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match="low_nats 2.0 is above high_nats 1.0"):
        EntropyBand(low_nats=2.0)


async def test_the_mentor_writes_piece_by_piece_until_the_generator_is_sure_again() -> None:
    recipe = EntropyAdaptive(piece_tokens=2, window=1).recipe()
    generator = FakeModel("a b c d e f g h", entropies={" c": 1.5, " e": 0.8, " g": 0.1})

    result = await run(recipe, generator, FakeModel("A B C D E F G H"))

    assert spans(result) == [
        ("generator", "a b"),
        ("mentor", " C D"),
        ("mentor", " E F"),
        ("generator", " g h"),
    ]
