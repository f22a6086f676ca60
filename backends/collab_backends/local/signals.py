"""Logits of one step, and what is read off them: the next token and the signals beside it."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import torch
from numpy import float32
from numpy.typing import NDArray

from collab.errors import ModelCallError
from collab.proposals import Sampling
from collab_backends.local.draws import RandomStream
from collab_backends.local.steering import Observer

NOT_NUMBERS = (
    "the model's logits are not numbers (NaN or infinity); try dtype float32, and check the weights"
)
"""Error message of a text whose logits cannot be read."""


class SignalReading:
    """What one observer read in a step, still on the device.

    Args:
        places: By row of logits, the row of `states`.
        states: `(R, n)`, reduced already.
    """

    def __init__(self, places: Mapping[int, int], states: torch.Tensor) -> None:
        self._places = places
        self._states = states

    def at(self, row: int) -> "array[float] | None":
        """Return what was read at a row of logits, if anything was."""
        place = self._places.get(row)
        return None if place is None else array("f", self._copied[place].tobytes())

    @cached_property
    def _copied(self) -> "NDArray[float32]":
        # All rows at once.
        copied: NDArray[float32] = self._states.float().cpu().numpy()
        return copied


class Rows:
    """The logits that one forward pass gave for all its jobs.

    What several jobs ask for is computed once for the whole batch, in float32, and copied from
    the device at once.

    Args:
        logits: `(R, V)`.
        readings: What observers read, see `SignalReading`.
    """

    def __init__(
        self, logits: torch.Tensor, readings: Mapping[Observer, SignalReading] | None = None
    ) -> None:
        self.logits = logits.float()
        self._readings = readings or {}
        self._asked: list[tuple[int, int]] = []
        self._entropies: dict[int, list[float]] = {}
        self._tops: dict[int, tuple[list[list[int]], list[list[float]]]] = {}

    def ask(self, row: int, token_ids: Sequence[int]) -> None:
        """Say which logits of a row will be read; all are copied from the device at once."""
        self._asked += [(row, one) for one in token_ids]

    @cached_property
    def _copied(self) -> dict[tuple[int, int], float]:
        if not self._asked:
            return {}
        places = torch.tensor(self._asked).to(self.logits.device)
        found = self.logits[places[:, 0], places[:, 1]].tolist()
        return dict(zip(self._asked, found, strict=True))

    def _logit(self, row: int, token_id: int) -> float:
        known = self._copied.get((row, token_id))
        return float(self.logits[row, token_id]) if known is None else known

    @cached_property
    def _heads(self) -> list[list[float]]:
        """For each row: the most likely id, the log of the sum, the two largest logits."""
        return self._measured()

    def _measured(self) -> list[list[float]]:
        top = self.logits.topk(min(2, self.logits.shape[1])).values
        # The first of equals, as transformers takes it; `topk` leaves that open.
        ids = self.logits.argmax(dim=-1).double()
        heads = (ids, self.logits.logsumexp(dim=-1).double(), top[:, 0], top[:, -1])
        stacked: list[list[float]] = torch.stack([one.double() for one in heads], dim=1).tolist()
        return stacked

    def ensure_numbers(self, row: int) -> None:
        """Refuse a row that holds NaN or infinity.

        Raises:
            ModelCallError: It does.
        """
        if self.is_spoilt(row):
            raise ModelCallError(NOT_NUMBERS)

    def is_spoilt(self, row: int) -> bool:
        """Whether a row holds NaN or infinity."""
        return not math.isfinite(self._heads[row][1])

    def most_likely(self, row: int) -> int:
        """Return the most likely token of a row."""
        return int(self._heads[row][0])

    def logprob(self, row: int, token_id: int) -> float:
        """Return the natural-log probability of a token, at most 0."""
        most_likely, log_sum, top, _ = self._heads[row]
        logit = top if token_id == most_likely else self._logit(row, token_id)
        return min(logit - log_sum, 0.0)

    def margin(self, row: int) -> float:
        """Return the difference of the two largest log-probabilities."""
        _, _, first, second = self._heads[row]
        return first - second

    def probabilities(self, row: int, token_ids: list[int]) -> list[float]:
        """Return the probabilities of some tokens."""
        log_sum = self._heads[row][1]
        return [math.exp(self._logit(row, one) - log_sum) for one in token_ids]

    def entropy(self, row: int, top_k: int) -> float:
        """Return the entropy in nats over the `top_k` most likely tokens, renormalised."""
        if top_k not in self._entropies:
            head = self.logits.topk(min(top_k, self.logits.shape[1])).values
            self._entropies[top_k] = _entropies(head)
        return self._entropies[top_k][row]

    def top(self, row: int, top_k: int) -> list[tuple[int, float]]:
        """Return the `top_k` likeliest tokens of a row and their log-probabilities."""
        if top_k not in self._tops:
            found = self.logits.topk(min(top_k, self.logits.shape[1]))
            self._tops[top_k] = (found.indices.tolist(), found.values.tolist())
        ids, logits = self._tops[top_k]
        return ranked(ids[row], logits[row], self._heads[row][1])

    def observed(self, row: int, observer: Observer) -> "array[float] | None":
        """Return what an observer read at the state that a row comes from, if it did."""
        reading = self._readings.get(observer)
        return reading.at(row) if reading else None


def ranked(ids: Iterable[int], logits: Iterable[float], log_sum: float) -> list[tuple[int, float]]:
    """Return tokens with their log-probabilities, the likeliest first, of equals the first id.

    Args:
        ids: The tokens.
        logits: Their logits; tokens of minus infinity are impossible and left out.
        log_sum: The log of the sum of the exponentials of all logits.
    """
    possible = ((-logit, one) for one, logit in zip(ids, logits, strict=True) if logit > -math.inf)
    return [(one, min(-cost - log_sum, 0.0)) for cost, one in sorted(possible)]


def _entropies(logits: torch.Tensor) -> list[float]:
    logprobs = torch.log_softmax(logits, dim=-1)
    # Of impossible tokens 0 * -inf is not a number; they count as 0.
    entropies: list[float] = (-(logprobs.exp() * logprobs).nansum(dim=-1)).clamp(min=0).tolist()
    return entropies


def draw(logits: torch.Tensor, sampling: Sampling, rng: RandomStream) -> int:
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
