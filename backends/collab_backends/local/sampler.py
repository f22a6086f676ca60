"""The next token of a text: how it is chosen, and what is measured beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from collab.proposals import Sampling
from collab.signals import Signals
from collab_backends.local.draws import RandomStream
from collab_backends.local.signals import Rows, draw


@dataclass(frozen=True, slots=True)
class Drawn:
    """A decoded token and what was measured beside it, see `collab.proposals.Token`.

    The likeliest tokens are pairs of id and log-probability.
    """

    id: int
    logprob: float
    margin: float
    entropy: float | None = None
    top: Sequence[tuple[int, float]] = ()


class Sampler:
    """Chooses tokens for one session and measures the signals beside them."""

    def __init__(
        self,
        sampling: Sampling,
        stream: RandomStream,
        *,
        end_ids: frozenset[int],
        signals: Signals,
    ) -> None:
        self.end_ids = end_ids
        self.signals = signals
        self.sampling = sampling
        self.stream = stream

    def choose(self, rows: Rows, row: int) -> int:
        """Return the next token's id."""
        if self.sampling.is_greedy:
            return rows.most_likely(row)
        return draw(rows.logits[row], self.sampling, self.stream)

    def measured(self, rows: Rows, row: int, token_id: int) -> Drawn:
        """Return a token with its signals."""
        signals = self.signals
        top_k = signals.entropy_top_k
        return Drawn(
            token_id,
            rows.logprob(row, token_id),
            rows.margin(row),
            rows.entropy(row, top_k) if top_k else None,
            rows.top(row, signals.top_k) if signals.top_k else (),
        )
