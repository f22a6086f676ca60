"""Reading logits where they are: the next tokens and what is measured beside them."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from collab_backends.local.signals import Rows, ranked

ID, LOG_SUM, LOGIT, TOP, SECOND, ENTROPIES = range(6)
"""Columns of what `decode` returns. From the last one on come the entropies over the most likely
tokens, then the ids of the candidates, then their logits."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How the next tokens of a pass are drawn, all `(R,)`; a temperature of 0 is greedy.

    Attributes:
        uniforms: Numbers in `[0, 1)`, float64.
        temperatures: Float64.
        top_ks: Most likely tokens kept; 0 for all.
        top_ps: Nucleus kept, float64.
        has_filters: Whether any token is kept out at all.
    """

    uniforms: torch.Tensor
    temperatures: torch.Tensor
    top_ks: torch.Tensor
    top_ps: torch.Tensor
    has_filters: bool


def heads(logits: torch.Tensor) -> torch.Tensor:
    """Return of each row of logits `(R, V)` four numbers, `(R, 4)` float32.

    They are the most likely id (the first of equals), the log of the sum of the exponentials, and
    the two largest logits.
    """
    if logits.device.type == "cuda":
        # Triton is there only where there is a GPU.
        found: torch.Tensor = importlib.import_module("collab_backends.local.paged.scans").scan(
            logits
        )
        return found
    numbers = logits.float()
    top = numbers.topk(min(2, numbers.shape[1])).values
    columns = (numbers.argmax(dim=-1).float(), numbers.logsumexp(dim=-1), top[:, 0], top[:, -1])
    return torch.stack(columns, dim=1)


def decode(
    logits: torch.Tensor,
    top_ks: tuple[int, ...],
    sampled: Sampled | None,
    *,
    candidates: int = 0,
) -> torch.Tensor:
    """Return the next tokens and their signals, `(R, 5 + K + 2C)` float64; see the columns above.

    Args:
        logits: `(R, V)`.
        top_ks: Over how many of the most likely tokens entropies are wanted.
        sampled: How tokens are drawn; `None` for the most likely of all.
        candidates: How many of the most likely tokens to name; C is at most the vocabulary.
    """
    found = heads(logits).double()
    ids = found[:, 0].long()
    if sampled is not None:
        is_greedy = sampled.temperatures == 0
        ids = torch.where(is_greedy, ids, draw_rows(logits, sampled))
    logit = logits.gather(1, ids[:, None])[:, 0].double()
    columns = [ids.double(), found[:, 1], logit, *found[:, 2:].unbind(1)]
    columns += [_top_entropy(logits, top_k).double() for top_k in top_ks]
    numbers = torch.stack(columns, dim=1)
    if not candidates:
        return numbers
    top = logits.float().topk(min(candidates, logits.shape[1]))
    return torch.cat([numbers, top.indices.double(), top.values.double()], dim=1)


def candidates_in(
    numbers: Sequence[float], top_ks: tuple[int, ...], count: int
) -> list[tuple[int, float]]:
    """Return the `count` likeliest tokens that a row of `decode` names, with log-probabilities."""
    named = numbers[ENTROPIES + len(top_ks) :]
    half = len(named) // 2
    return ranked(map(int, named[:half]), named[half:], numbers[LOG_SUM])[:count]


def draw_rows(logits: torch.Tensor, sampled: Sampled) -> torch.Tensor:
    """Return token ids drawn from logits `(R, V)`, as `signals.draw` draws one: `(R,)`."""
    temperatures = sampled.temperatures.clamp(min=1e-9)[:, None]
    probabilities = torch.softmax(logits.double() / temperatures, dim=-1)
    if sampled.has_filters:
        probabilities = probabilities * _kept(logits, probabilities, sampled)
    cumulative = probabilities.cumsum(dim=-1)
    aim = sampled.uniforms[:, None] * cumulative[:, -1:]
    places = torch.searchsorted(cumulative, aim, right=True)[:, 0]
    # Rounding can put the number after the last token: that one it is then.
    last = probabilities.shape[1] - 1 - (probabilities.flip(1) > 0).int().argmax(dim=1)
    return torch.minimum(places, last)


def _kept(logits: torch.Tensor, probabilities: torch.Tensor, sampled: Sampled) -> torch.Tensor:
    """Return which tokens top-k and then top-p keep, `(R, V)`."""
    ids = logits.float().sort(dim=-1, descending=True, stable=True).indices
    rank = torch.arange(ids.shape[1], device=ids.device)[None, :]
    most = torch.where(sampled.top_ks > 0, sampled.top_ks, ids.shape[1])[:, None]
    cumulative = (probabilities.gather(1, ids) * (rank < most)).cumsum(dim=-1)
    # The nucleus is the shortest head whose share of the kept mass reaches top_p.
    short = (cumulative < sampled.top_ps[:, None] * cumulative[:, -1:]) & (rank < most)
    nucleus = torch.minimum(short.sum(dim=-1, keepdim=True) + 1, most)
    count = torch.where(sampled.top_ps[:, None] < 1.0, nucleus, most)
    return torch.zeros_like(ids, dtype=torch.bool).scatter_(1, ids, rank < count)


def _top_entropy(logits: torch.Tensor, top_k: int) -> torch.Tensor:
    top = logits.topk(min(top_k, logits.shape[1])).values
    logprobs = torch.log_softmax(top.float(), dim=-1)
    # Of impossible tokens 0 * -inf is not a number; they count as 0.
    return (-(logprobs.exp() * logprobs).nansum(dim=-1)).clamp(min=0)


class DeviceRows(Rows):
    """Rows whose most likely ids and sums the device computes in one go."""

    def _measured(self) -> list[list[float]]:
        measured: list[list[float]] = heads(self.logits).double().tolist()
        return measured
