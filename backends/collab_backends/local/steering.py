"""Reading and changing hidden states: one hook before each block that anybody asks for.

What is added to a hidden state changes all that is computed from it, so it is part of a cache
entry's name: a cache key is the token's id, and above it the number of the steering that was
added at its place. A text that is computed again is steered again as it was.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from collab.errors import ConfigError, ModelCallError
from collab.signals import Gate, Observation, Reduction, Steering
from collab_backends.local.placement import input_device

_ID_BITS = 32
_ID_MASK = (1 << _ID_BITS) - 1


_Keys = TypeVar("_Keys", int, NDArray[np.int64])


def token_id(key: _Keys) -> _Keys:
    """Return the token id of a cache key, or those of many."""
    return key & _ID_MASK


def steering_number(key: _Keys) -> _Keys:
    """Return the number of the steering that was added at a cache key's place; 0 for none."""
    return key >> _ID_BITS


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Observer:
    """An observation of one model.

    Attributes:
        name: Key of its results.
        layer: Whose input is read.
        ids: The token ids at whose positions it reads; `None` for all.
        reduction: Computed on the device.
    """

    name: str
    layer: int
    ids: frozenset[int] | None
    reduction: Reduction | None

    def reads_at(self, token: int) -> bool:
        """Whether it reads the state at the position of `token`."""
        return self.ids is None or token in self.ids


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Steer:
    """A steering of one model: its vector is on the device, times its scale.

    Attributes:
        number: Names it in cache keys; above 0.
        layer: The block to whose input it is added.
        vector: `(hidden,)`.
        ids: The token ids at whose positions it is added; `None` for all.
    """

    number: int
    layer: int
    vector: torch.Tensor
    ids: frozenset[int] | None

    def key(self, token: int) -> int:
        """Return the cache key of a token that stands where this steering is on."""
        is_gated = self.ids is None or token in self.ids
        return token | (self.number << _ID_BITS) if is_gated else token


Tap = Callable[[int, torch.Tensor], torch.Tensor | None]
"""Is given a layer's number and its input `(1, T, hidden)`; returns what to put in its place."""


class HiddenStates:
    """The hooks of one model: adds the steerings of a pass, then reads what observers ask for.

    Args:
        model: The model; hooks are put on its blocks when they are first needed.
        ids_of: Returns the ids of the tokens that a gate selects.

    Attributes:
        tap: Is asked at every hook instead, as long as it is set.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids_of: Callable[[Gate], frozenset[int]],
    ) -> None:
        self._model = model
        self._ids_of = ids_of
        self.tap: Tap | None = None
        self._blocks = blocks_of(model)
        self._hooks: dict[int, RemovableHandle] = {}
        # Alive as long as a session holds them; numbers are never given again.
        self._observers: WeakValueDictionary[Observation, Observer] = WeakValueDictionary()
        self._steers: WeakValueDictionary[int, Steer] = WeakValueDictionary()
        self._by_name: WeakValueDictionary[tuple[object, ...], Steer] = WeakValueDictionary()
        self._count = 0
        self._added: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._wanted: dict[int, torch.Tensor] = {}
        self._places: dict[int, dict[int, int]] = {}
        self._read: dict[int, torch.Tensor] = {}

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state."""
        return int(self._model.config.get_text_config().hidden_size)

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The blocks."""
        return tuple(self._blocks)

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""
        return len(self._blocks)

    def layer(self, number: int) -> int:
        """Return a layer's number; below 0 it counts from the end, -1 is behind the final norm.

        Raises:
            ConfigError: There is no such layer.
        """
        last = len(self._blocks)
        if not -last - 1 <= number <= last:
            raise ConfigError(
                f"layer {number} is out of range; this model has {last} blocks, so layers 0 to "
                f"{last} here, or {-last - 1} to -1 from the end"
            )
        return number % (last + 1)

    def observer(self, observation: Observation) -> Observer:
        """Return an observation as this model takes it.

        Raises:
            ConfigError: There is no such layer.
        """
        self._check_layer(observation.layer, len(self._blocks))
        if (known := self._observers.get(observation)) is not None:
            return known
        gate = observation.gate
        observer = Observer(
            observation.name,
            observation.layer,
            self._ids_of(gate) if gate.texts else None,
            observation.reduction,
        )
        self._observers[observation] = observer
        return observer

    def steer(self, steering: Steering) -> Steer:
        """Return a steering as this model takes it.

        Raises:
            ConfigError: There is no such layer, or the vector is of another width.
        """
        self._check_layer(steering.layer, len(self._blocks) - 1)
        vector = self._scaled_vector(steering)
        # Equal steerings are one, so that their texts share prefixes.
        name = (steering.layer, steering.gate, vector.float().cpu().numpy().tobytes())
        if (known := self._by_name.get(name)) is not None:
            return known
        self._count += 1
        ids = self._ids_of(steering.gate) if steering.gate.texts else None
        steer = Steer(self._count, steering.layer, vector, ids)
        self._steers[steer.number] = self._by_name[name] = steer
        return steer

    def _scaled_vector(self, steering: Steering) -> torch.Tensor:
        try:
            given = torch.as_tensor(steering.vector, dtype=torch.float32).detach()
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"the steering vector is not made of numbers: {error}") from error
        if given.shape != (self.hidden_size,):
            raise ConfigError(
                f"the steering vector has the shape {tuple(given.shape)}; this model's hidden "
                f"size is {self.hidden_size}"
            )
        vector = (given * steering.scale).to(input_device(self._model), self._model.dtype)
        if not bool(torch.isfinite(vector).all()):
            raise ConfigError(
                f"the steering vector times its scale is not finite in {self._model.dtype}; it "
                "would spoil the text"
            )
        return vector

    def prepare(
        self,
        keys: Sequence[int],
        logit_rows: Sequence[int],
        observed: Mapping[Observer, Sequence[int]],
    ) -> None:
        """Get ready for a pass.

        Args:
            keys: The cache keys of its tokens.
            logit_rows: The tokens that logits are computed for.
            observed: By observer, the rows of logits whose state it reads.
        """
        self._read.clear()
        rows_by_layer: dict[int, list[int]] = {}
        for row, key in enumerate(keys) if self._steers else ():
            if number := key >> _ID_BITS:
                rows_by_layer.setdefault(self._steers[number].layer, []).append(row)
        self._added = {
            layer: (
                self._index(rows),
                torch.stack([self._steers[keys[row] >> _ID_BITS].vector for row in rows]),
            )
            for layer, rows in rows_by_layer.items()
        }
        self._places = {}
        for observer, rows in observed.items():
            places = self._places.setdefault(observer.layer, {})
            for row in rows:
                places.setdefault(row, len(places))
        # The head is given only the rows that logits are computed for.
        self._wanted = {
            layer: self._index(
                list(places) if layer == len(self._blocks) else [logit_rows[row] for row in places]
            )
            for layer, places in self._places.items()
        }
        self.hook((*self._added, *self._wanted))

    def states(self, observer: Observer, rows: Sequence[int]) -> torch.Tensor:
        """Return what the last pass read at rows of logits, reduced: `(R, n)`."""
        places = self._places[observer.layer]
        order = [places[row] for row in rows]
        states = self._read[observer.layer]
        if order != list(range(len(places))):
            states = states[self._index(order).to(states.device)]
        return reduced(observer, states)

    def hook(self, layers: Iterable[int]) -> None:
        """Put hooks on some layers, if they have none."""
        for layer in layers:
            self._hook(layer)

    def steering(self, number: int) -> Steer | None:
        """Return the steering of a number, as long as a session holds it."""
        return self._steers.get(number)

    def close(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks.clear()

    # --- hooks ------------------------------------------------------------------------------

    def _hook(self, layer: int) -> None:
        if layer in self._hooks:
            return
        # The state behind the final norm is what goes into the head.
        is_block = layer < len(self._blocks)
        module = self._blocks[layer] if is_block else self._model.get_output_embeddings()
        assert isinstance(module, nn.Module), "a causal model has a head"

        def before(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            return self._before(layer, args)

        self._hooks[layer] = module.register_forward_pre_hook(before)

    def _before(
        self, layer: int, args: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        hidden, *rest = args
        if self.tap is not None:
            put = self.tap(layer, hidden)
            return None if put is None else (put, *rest)
        changed = None
        if layer in self._added:
            rows, vectors = self._added[layer]
            hidden = hidden.clone()
            hidden[0].index_add_(0, rows.to(hidden.device), vectors.to(hidden.device))
            changed = (hidden, *rest)
        if layer in self._wanted:
            self._read[layer] = hidden[0][self._wanted[layer].to(hidden.device)]
        return changed

    def _index(self, rows: list[int]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.long)

    def _check_layer(self, layer: int, last: int) -> None:
        if not isinstance(layer, int) or not 0 <= layer <= last:
            raise ConfigError(
                f"layer {layer} is out of range; this model has {len(self._blocks)} blocks, "
                f"so layers 0 to {last} here"
            )


def reduced(observer: Observer, states: torch.Tensor) -> torch.Tensor:
    """Return what an observer makes of states `(R, hidden)`: `(R, n)`.

    Raises:
        ModelCallError: Its reduction returned something else.
    """
    if observer.reduction is None:
        return states
    # A copy: a reduction may write to what it is given.
    found: object = observer.reduction(states.clone())
    if not isinstance(found, torch.Tensor) or found.shape[:-1] != states.shape[:-1]:
        raise ModelCallError(
            f"the reduction of {observer.name!r} returned {_described(found)} for "
            f"{tuple(states.shape)}; expected one row of numbers for each state"
        )
    return found


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the list of a model's blocks, whatever its architecture calls it."""
    count = int(model.config.get_text_config().num_hidden_layers)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ConfigError(f"{type(model).__name__} has no list of {count} blocks")


def _described(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
