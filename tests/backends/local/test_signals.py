"""What is read off the logits: tokens drawn, and the signals beside them."""

from collections import Counter

import pytest
import torch

from collab.proposals import Sampling
from collab_backends.local.draws import RandomStream
from collab_backends.local.signals import draw

LOGITS = torch.tensor([2.0, 0.5, 1.0, -1.0, 1.5])


def drawn(logits: torch.Tensor, sampling: Sampling, count: int = 4_000) -> Counter[int]:
    rng = RandomStream(0)
    return Counter(draw(logits, sampling, rng) for _ in range(count))


def test_tokens_are_drawn_with_their_probabilities() -> None:
    counts = drawn(LOGITS, Sampling(temperature=0.7))

    expected = torch.softmax(LOGITS.double() / 0.7, dim=-1)
    for token, share in enumerate(expected.tolist()):
        error = (share * (1 - share) / 4_000) ** 0.5
        assert abs(counts[token] / 4_000 - share) < 4 * error


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=1.0, top_k=2), {0, 4}),
        # The shares are 0.43, 0.26, 0.16, 0.10 and 0.02.
        (Sampling(temperature=1.0, top_p=0.6), {0, 4}),
        (Sampling(temperature=1.0, top_p=0.8), {0, 2, 4}),
        (Sampling(temperature=1.0, top_k=99, top_p=1e-9), {0}),
    ],
)
def test_only_the_head_of_the_distribution_is_kept(sampling: Sampling, kept: set[int]) -> None:
    assert set(drawn(LOGITS, sampling)) == kept


def test_a_near_tie_decided_by_the_last_bit_changes_no_draw() -> None:
    # Two equally likely tokens whose order is decided by rounding, as it differs between batches.
    one = torch.tensor([1.0, 1.0 + 1e-7, -9.0])
    other = torch.tensor([1.0 + 1e-7, 1.0, -9.0])
    sampling = Sampling(temperature=1.0)

    first, second = RandomStream(0), RandomStream(0)

    assert [draw(one, sampling, first) for _ in range(1_000)] == [
        draw(other, sampling, second) for _ in range(1_000)
    ]


def test_a_temperature_next_to_nothing_is_greedy() -> None:
    assert Sampling(temperature=1e-6).is_greedy
    assert set(drawn(LOGITS, Sampling(temperature=1e-5), count=20)) == {0}
