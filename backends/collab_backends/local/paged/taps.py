"""Hidden states in passes over frames: what is added to them, and what is kept of them."""

from collections.abc import Iterable

import torch

from collab.errors import ModelCallError
from collab_backends.local.paged.frames import DecodeFrame, Features, Frame
from collab_backends.local.steering import HiddenStates, Steer

_MOST_STEERINGS = 64


class SteeringTable:
    """The vectors of the steerings in use, at fixed places; the first place holds none.

    Args:
        hidden: Knows which steerings a session still holds.
        vocabulary: Ids that can be fed.
        device: Where vectors stand.
        dtype: Theirs.
    """

    def __init__(
        self, hidden: HiddenStates, vocabulary: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._hidden = hidden
        self._vectors: dict[int, torch.Tensor] = {}
        self._gates = torch.zeros(0, vocabulary, dtype=torch.bool, device=device)
        self._device, self._dtype = device, dtype
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that some steering in use adds to, ascending."""
        return tuple(sorted({layer for _, layer in self._places.values()}))

    def place(self, steer: Steer) -> int:
        """Return where a steering stands, after putting it there.

        Raises:
            ModelCallError: Too many are in use.
        """
        if (known := self._places.get(steer.number)) is not None:
            return known[0]
        self._forget()
        free = set(range(1, _MOST_STEERINGS)) - {place for place, _ in self._places.values()}
        if not free:
            raise ModelCallError(
                f"more than {_MOST_STEERINGS - 1} steering vectors are in use at once"
            )
        place = min(free)
        if not len(self._gates):
            shape = (_MOST_STEERINGS, self._gates.shape[1])
            self._gates = torch.zeros(shape, dtype=torch.bool, device=self._device)
        self._gates[place] = steer.ids is None
        if steer.ids:
            self._gates[place, torch.tensor(sorted(steer.ids), device=self._device)] = True
        self._layer(steer.layer)[place] = steer.vector.to(self._device)
        self._places[steer.number] = (place, steer.layer)
        return place

    def vectors(self, layer: int, places: torch.Tensor) -> torch.Tensor:
        """Return what is added at a layer, `(T, hidden)`, for places `(T,)`."""
        return self._vectors[layer][places]

    def gated(self, places: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return places `(T,)` with 0 where a gate does not select the token."""
        return torch.where(self._gates[places, ids], places, 0)

    def _layer(self, layer: int) -> torch.Tensor:
        if layer not in self._vectors:
            shape = (_MOST_STEERINGS, self._hidden.hidden_size)
            self._vectors[layer] = torch.zeros(shape, device=self._device, dtype=self._dtype)
        return self._vectors[layer]

    def _forget(self) -> None:
        """Take away what no session holds any more."""
        for number, (place, layer) in tuple(self._places.items()):
            if self._hidden.steering(number) is None:
                self._vectors[layer][place] = 0
                del self._places[number]


class Tap:
    """What happens to hidden states in one pass; see `collab_backends.local.steering.Tap`.

    Attributes:
        states: By layer, the inputs kept: of each row of logits, `(R, hidden)`.
    """

    def __init__(
        self, frame: Frame, features: Features, table: SteeringTable, *, head: int
    ) -> None:
        self.states: dict[int, torch.Tensor] = {}
        self._frame = frame
        self._observed = frozenset(features.observed)
        self._steered = frozenset(features.steered)
        self._table = table
        self._head = head
        self._places = frame.steers
        if features.steered and isinstance(frame, DecodeFrame):
            # Which token it is, only the device knows here.
            self._places = table.gated(frame.steers, frame.ids)

    def __call__(self, layer: int, hidden: torch.Tensor) -> torch.Tensor | None:
        """Add what is to be added at a layer, and keep what is to be read there."""
        changed = None
        if layer in self._steered:
            hidden = hidden + self._table.vectors(layer, self._places)[None]
            changed = hidden
        if layer in self._observed:
            rows = self._frame.rows
            # The head is given only the rows that logits are computed for.
            kept = hidden[0] if rows is None or layer == self._head else hidden[0][rows]
            # A copy: the model may write to its input, and a graph uses memory again.
            self.states[layer] = kept.clone()
        return changed


def sorted_layers(layers: Iterable[int]) -> tuple[int, ...]:
    """Return layers as features name them."""
    return tuple(sorted(set(layers)))
