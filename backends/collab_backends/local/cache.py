"""The KV cache of one live text: tensors per layer, cut and copied by length."""

import torch

_FIRST_CAPACITY = 64


class SequenceCache:
    """Keys and values of the tokens of one text that were fed to the model.

    Shapes are taken from the first write of each layer, so every attention layout works whose
    keys and values are `(H, T, D)`. Tensors grow by doubling; what lies behind `length` is never
    read.

    Attributes:
        length: Tokens with valid entries in every layer.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

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
        end = self.length + keys.shape[1]
        held = self._layers.get(layer)
        if held is None or held[0].shape[1] < end:
            held = self._grown(held, keys, values, end)
            self._layers[layer] = held
        held[0][:, self.length : end] = keys
        held[1][:, self.length : end] = values
        return held[0][:, :end], held[1][:, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` written to all layers as valid."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Forget entries from `length` on."""
        self.length = min(self.length, length)

    def fork(self, length: int) -> "SequenceCache":
        """Return a copy of the first `length` entries, or of all if there are fewer."""
        twin = SequenceCache()
        twin.length = min(self.length, length)
        for layer, (keys, values) in self._layers.items():
            twin._layers[layer] = (
                keys[:, : twin.length].clone(),
                values[:, : twin.length].clone(),
            )
        return twin

    def clear(self) -> None:
        """Release all memory."""
        self._layers.clear()
        self.length = 0

    def _grown(
        self,
        held: tuple[torch.Tensor, torch.Tensor] | None,
        keys: torch.Tensor,
        values: torch.Tensor,
        end: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        capacity = _FIRST_CAPACITY
        while capacity < end:
            capacity *= 2
        grown = (
            keys.new_empty(keys.shape[0], capacity, keys.shape[2]),
            values.new_empty(values.shape[0], capacity, values.shape[2]),
        )
        if held is not None:
            for new, old in zip(grown, held, strict=True):
                new[:, : self.length] = old[:, : self.length]
        return grown
