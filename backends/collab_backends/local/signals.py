"""Logits of one step, and what is read off them: the next token and the signals beside it."""

import random
from functools import cached_property

import torch

from collab.proposals import Sampling


class Rows:
    """The logits that one forward pass gave for all its jobs.

    What several jobs ask for is computed once for the whole batch, in float32.

    Args:
        logits: `(R, V)`.
    """

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits.float()
        self._entropies: dict[int, list[float]] = {}

    @cached_property
    def logprobs(self) -> torch.Tensor:
        """Natural-log probabilities, `(R, V)`."""
        return torch.log_softmax(self.logits, dim=-1)

    @cached_property
    def most_likely(self) -> list[int]:
        """The most likely token of each row."""
        ids: list[int] = self.logits.argmax(dim=-1).tolist()
        return ids

    @cached_property
    def top_two(self) -> list[list[float]]:
        """The two largest log-probabilities of each row."""
        top: list[list[float]] = self.logprobs.topk(min(2, self.logits.shape[1])).values.tolist()
        return top

    def logprob(self, row: int, token_id: int) -> float:
        """Return the log-probability of a token, at most 0."""
        if token_id == self.most_likely[row]:
            return min(self.top_two[row][0], 0.0)
        return min(float(self.logprobs[row, token_id]), 0.0)

    def margin(self, row: int) -> float:
        """Return the difference of the two largest log-probabilities."""
        top = self.top_two[row]
        return top[0] - top[1] if len(top) == 2 else 0.0

    def entropy(self, row: int, top_k: int) -> float:
        """Return the entropy in nats over the `top_k` most likely tokens, renormalised."""
        if top_k not in self._entropies:
            head = self.logits.topk(min(top_k, self.logits.shape[1])).values
            logprobs = torch.log_softmax(head, dim=-1)
            entropies = -(logprobs.exp() * logprobs).sum(dim=-1)
            self._entropies[top_k] = entropies.clamp(min=0).tolist()
        return self._entropies[top_k][row]


def draw(logits: torch.Tensor, sampling: Sampling, rng: random.Random) -> int:
    """Return a token id drawn from logits `(V,)`.

    One uniform number from `rng` inverts the cumulative distribution over the ids, in float64. The
    outcome depends on the session's own stream alone; the last bits of the logits, which depend
    on the batch, shift the borders between tokens a little, but never change their order.
    """
    probabilities = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    if sampling.top_k or sampling.top_p < 1.0:
        probabilities = probabilities * _kept(probabilities, sampling)
    cumulative = probabilities.cumsum(dim=0)
    drawn = rng.random() * float(cumulative[-1])
    place = int(torch.searchsorted(cumulative, drawn, right=True))
    # Rounding can put the number behind the last token: that one it is then.
    return place if place < len(probabilities) else int(probabilities.nonzero()[-1])


def _kept(probabilities: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return which tokens top-k and then top-p keep, `(V,)`."""
    ordered, ids = probabilities.sort(descending=True, stable=True)
    count = min(sampling.top_k or len(ids), len(ids))
    if sampling.top_p < 1.0:
        # The nucleus is the shortest head whose share of the kept mass reaches top_p.
        cumulative = ordered[:count].cumsum(dim=0)
        count = min(int((cumulative < sampling.top_p * cumulative[-1]).sum()) + 1, count)
    kept = torch.zeros_like(probabilities, dtype=torch.bool)
    kept[ids[:count]] = True
    return kept
