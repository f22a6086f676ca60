"""The KV cache of one live text: tensors per layer, cut and copied by length."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch

_GRAIN = 16
_SPARE = 32
"""A cache takes room for a 32nd more than it needs, in grains of 16 tokens."""


class TextCache(ABC):
    """What a model computed for the first tokens of one text, and which tokens these are.

    A text is named by its cache keys, one number for each token: the token's id, and above it what
    else changed its entry, see `collab_backends.local.steering`. Whatever happened to the text
    meanwhile, the entries that still hold are those of the common prefix.

    Attributes:
        tokens: The cache keys of the tokens with valid entries.
        is_busy: Whether a job works on it, so that it cannot be dropped.
        is_closed: Whether its session is closed, so that it is dropped when no job works on it.
        last_claim: The number of its last use.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.is_busy = False
        self.is_closed = False
        self.last_claim = 0

    @property
    def length(self) -> int:
        """Tokens with valid entries in every layer."""
        return len(self.tokens)

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Tokens it has memory for, or may take memory for."""

    def advance(self, tokens: Sequence[int]) -> None:
        """Count the entries of `tokens`, written to all layers, as valid."""
        self.tokens += tokens

    def truncate(self, length: int) -> None:
        """Forget entries from `length` on; a cache that cannot be cut forgets more."""
        del self.tokens[length:]

    @abstractmethod
    def take_prefix(self, donor: Self, tokens: Sequence[int]) -> None:
        """Take over the donor's entries of `tokens`, or as many of them as it can.

        A donor that was cleared in the meantime gives none.
        """

    @abstractmethod
    def clear(self) -> None:
        """Release all memory."""


class CountedCache(TextCache):
    """A cache whose memory is counted as the tokens that it may grow to."""

    def __init__(self) -> None:
        super().__init__()
        self._capacity = 0

    @property
    def capacity(self) -> int:
        """Tokens it has memory for, or may take memory for."""
        return self._capacity

    def allow(self, capacity: int) -> None:
        """Allow it to take memory for `capacity` tokens."""
        self._capacity = capacity

    def clear(self) -> None:
        """Release all memory."""
        self.tokens.clear()
        self._capacity = 0


class SequenceCache(CountedCache):
    """Keys and values in one stretch of memory per layer.

    Shapes are taken from the first write of each layer, so every attention layout works whose
    keys and values are `(H, T, D)`. Entries after `length` are never read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def nbytes(self) -> int:
        """Memory that its tensors take."""
        return sum(k.nbytes + v.nbytes for k, v in self._layers.values())

    def write(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new entries behind `length` and return all entries with them.

        The length itself moves only with `advance`, once all layers are written.

        Args:
            layer: The attention layer's index.
            keys: Of the new tokens, `(H, T, D)`.
            values: Of the new tokens, `(H, T, Dv)`.

        Returns:
            Views of keys and values, `(H, length + T, D)` and `(H, length + T, Dv)`.
        """
        start = len(self.tokens)
        end = start + keys.shape[1]
        held = self._layers.get(layer)
        if held is None or held[0].shape[1] < end:
            held = self._grown(held, keys, values, end)
            self._layers[layer] = held
        all_keys, all_values = held
        all_keys[:, start:end] = keys
        all_values[:, start:end] = values
        return all_keys[:, :end], all_values[:, :end]

    def take_prefix(self, donor: Self, tokens: Sequence[int]) -> None:
        """Become a copy of the donor's entries of `tokens`, with room for `capacity`.

        A donor that was cleared meanwhile gives nothing.
        """
        length = len(tokens)
        self._layers = {
            layer: (self._copied(keys, length), self._copied(values, length))
            for layer, (keys, values) in tuple(donor._layers.items())
        }
        self.tokens = list(tokens) if self._layers else []

    def clear(self) -> None:
        """Release all memory."""
        super().clear()
        self._layers.clear()

    def _copied(self, held: torch.Tensor, length: int) -> torch.Tensor:
        copy = held.new_empty(held.shape[0], max(self.capacity, length), held.shape[2])
        copy[:, :length] = held[:, :length]
        return copy

    def _grown(
        self,
        held: tuple[torch.Tensor, torch.Tensor] | None,
        keys: torch.Tensor,
        values: torch.Tensor,
        end: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self._capacity = max(self._capacity, rounded_capacity(end))
        grown = (
            keys.new_empty(keys.shape[0], self.capacity, keys.shape[2]),
            values.new_empty(values.shape[0], self.capacity, values.shape[2]),
        )
        if held is not None:
            for new, old in zip(grown, held, strict=True):
                new[:, : self.length] = old[:, : self.length]
        return grown


def rounded_capacity(tokens: int) -> int:
    """Return how many tokens to take memory for when `tokens` are needed."""
    return -(-(tokens + tokens // _SPARE) // _GRAIN) * _GRAIN


def common_prefix(first: Sequence[int], second: Sequence[int], limit: int) -> int:
    """Return the length of the longest common prefix, at most `limit`."""
    low, high = 0, min(len(first), len(second), limit)
    if (first if high == len(first) else first[:high]) == second[:high]:
        return high
    # Comparing slices is done in C, so halving beats a loop over tokens.
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low
