"""Replaying a policy, and finding the boldness for a share."""

import pytest

from collab.calibrating.aiming import Target, aim
from collab.calibrating.replay import Shares, boldness_for, replay, sample
from collab.calibrating.steps import SignalledStep, SignalledText
from collab_policies.entropy import Entropy
from collab_policies.glimprouter import FirstTokenEntropy


def text(*entropies: float, problem: str = "p") -> SignalledText:
    """Return a text with a step of two tokens for each entropy of a first token."""
    steps = tuple(SignalledStep("a b.\n\n", (one, 0.0), (-1.0, -1.0)) for one in entropies)
    return SignalledText(problem, None, steps)


def test_a_policy_is_replayed_before_and_behind_steps() -> None:
    texts = [text(0.2, 1.5), text(1.0, 0.1, 3.0)]

    assert replay(FirstTokenEntropy(), texts) == Shares(tokens=0.6, steps=0.6)
    assert replay(Entropy(reduction="first"), texts) == Shares(tokens=0.6, steps=0.6)
    assert replay(FirstTokenEntropy(threshold_nats=9), texts) == Shares(0.0, 0.0)


def test_shares_of_tokens_count_long_steps_more() -> None:
    long = SignalledStep("long", (2.0,) + (0.0,) * 8, (None,) * 9)
    short = SignalledStep("short", (0.0,), (None,))

    shares = replay(FirstTokenEntropy(), [SignalledText("p", None, (long, short))])

    assert (shares.tokens, shares.steps) == (0.9, 0.5)


def test_many_texts_are_thinned_out_evenly() -> None:
    texts = [text(*[0.0] * 100, problem=str(n)) for n in range(100)]

    thinned = sample(texts)

    assert 30 <= len(thinned) <= 40
    assert (thinned[0], sample(texts[:5])) == (texts[0], texts[:5])


@pytest.mark.parametrize("target", [0.0, 0.1, 0.5, 1.0])
def test_the_boldness_for_a_share_is_found(target: float) -> None:
    boldness = boldness_for(target, lambda one: one**2)

    assert boldness**2 == pytest.approx(target, abs=1e-3)


def test_a_share_that_is_not_reached_gives_the_nearest() -> None:
    assert boldness_for(0.9, lambda one: one / 2) == 1.0
    assert boldness_for(0.1, lambda one: 0.3 + one / 2) == pytest.approx(0.0, abs=1e-3)


async def test_the_pair_is_run_until_it_is_near_enough() -> None:
    asked: list[float] = []

    async def pair(boldness: float) -> float:
        asked.append(boldness)
        return min(1.0, 1.7 * boldness)

    found = await aim(Target("share", 0.4), lambda one: one, pair, rounds=5)

    assert found.reached == pytest.approx(0.4, abs=0.02)
    assert found.rounds == len(asked) <= 3


async def test_an_unreachable_target_ends_with_the_nearest() -> None:
    async def pair(boldness: float) -> float:
        return 0.5 + boldness / 10

    found = await aim(Target("share", 0.1), lambda one: one, pair, rounds=6)

    assert found.reached == pytest.approx(0.5, abs=0.02)


async def test_a_cost_is_aimed_at_relatively() -> None:
    async def pair(boldness: float) -> float:
        return 0.003 * boldness

    found = await aim(Target("cost", 0.002), lambda one: one, pair, rounds=6)

    assert found.reached == pytest.approx(0.002, rel=0.02)
