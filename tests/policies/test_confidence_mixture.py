"""STEER: the mixture is found, and its posterior decides."""

import random

import pytest
from support.steps import PROBLEM, draft, reasons, run

from collab.decisions import Consult, Continue
from collab.testing import FakeModel, check_policy, check_recipe
from collab_policies.confidence_mixture import ConfidenceMixture, Steer
from collab_policies.mixture import Mixture, fit_mixture

GIVEN = Mixture(weight=0.5, low=-3.0, high=-0.1, low_variance=0.5, high_variance=0.05)


def test_it_keeps_to_the_contract() -> None:
    check_policy(ConfidenceMixture())
    check_recipe(Steer())


def test_two_bells_are_found_again() -> None:
    rng = random.Random(3)
    values = [rng.gauss(-2.0, 0.3) for _ in range(300)] + [rng.gauss(-0.2, 0.1) for _ in range(700)]

    found = fit_mixture(values)

    assert found is not None
    assert found.weight == pytest.approx(0.7, abs=0.03)
    assert (found.low, found.high) == pytest.approx((-2.0, -0.2), abs=0.05)
    assert found.low_variance == pytest.approx(0.09, abs=0.03)


def test_the_posterior_rises_with_the_confidence() -> None:
    posteriors = [GIVEN.is_reliable(value) for value in (-50.0, -3.0, -1.5, -0.5, -0.1, 0.0)]

    assert posteriors == sorted(posteriors)
    assert posteriors[0] < 0.01 < 0.9 < posteriors[-1]


@pytest.mark.parametrize("values", [[], [-1.0], [-1.0, -1.0, -1.0]])
def test_nothing_is_fitted_to_nothing(values: list[float]) -> None:
    assert fit_mixture(values) is None


def test_a_mentor_writes_below_the_threshold_of_a_given_mixture() -> None:
    session = ConfidenceMixture(mixture=GIVEN).start(PROBLEM, random.Random(0))

    low = session.decide_before(draft(logprobs=[-3.0]))
    high = session.decide_before(draft(logprobs=[-0.1]))

    assert isinstance(low, Consult)
    assert low.signal == pytest.approx(GIVEN.is_reliable(-3.0))
    assert isinstance(high, Continue)
    assert session.decide(draft()) == Continue(why="reliable", signal=GIVEN.is_reliable(-0.1))


def test_it_is_fitted_on_the_way_behind_a_warm_up() -> None:
    session = ConfidenceMixture(warm_up=4).start(PROBLEM, random.Random(0))
    early = [session.decide_before(draft(logprobs=[value])) for value in (-3.0, -0.1, -0.12, -2.9)]

    assert early == [Continue()] * 4
    assert isinstance(session.decide_before(draft(logprobs=[-3.1])), Consult)
    assert isinstance(session.decide_before(draft(logprobs=[-0.1])), Continue)


def test_without_log_probabilities_the_generator_writes() -> None:
    session = ConfidenceMixture(mixture=GIVEN).start(PROBLEM, random.Random(0))

    assert session.decide_before(draft()) == Continue()


async def test_a_sure_generator_writes_alone() -> None:
    recipe = Steer(mixture=GIVEN, thinking_end=None).recipe()

    result = await run(recipe, FakeModel("So a.\n\nSo b."), FakeModel("So A.\n\nSo B."))

    assert reasons(result) == ["reliable", "reliable"]
