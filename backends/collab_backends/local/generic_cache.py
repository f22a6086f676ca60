"""The cache that a model makes for itself, of whatever kind: cut and copied where that is possible.

Some can only grow. Such a cache is dropped where a shorter text is wanted, and computed again.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from collab.telemetry.events import log_event
from collab_backends.local.cache import CountedCache, common_prefix
from collab_backends.local.memory import SHARED_TOKENS, CountedMemory
from collab_backends.local.placement import input_device, kept_rows

CACHE_NAMES = ("cache", "past_key_values", "cache_params")
"""What models call their cache, as an argument and in what they return."""


class OwnCache(CountedCache):
    """One text's cache as its model made it.

    Attributes:
        state: The model's object; `None` before the first pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None

    def can_give(self, length: int) -> bool:
        """Whether the entries of its first `length` tokens can be had, as far as it says."""
        return self.state is not None and (length == self.length or _is_croppable(self.state))

    def truncate(self, length: int) -> None:
        """Forget entries from `length` on, or all of them where the cache cannot be cut."""
        if length == self.length:
            return
        if length and _is_cropped(self.state, self.length - length):
            del self.tokens[length:]
        else:
            self.forget()

    def take_prefix(self, donor: Self, tokens: Sequence[int]) -> None:
        """Become a copy of the donor's entries of `tokens`, if it can give them."""
        length = len(tokens)
        if not donor.can_give(length):
            return
        try:
            state = copy.deepcopy(donor.state)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            log_event("cache.not_copied", tokens=length, error=repr(error))
            return
        if length < donor.length and not _is_cropped(state, donor.length - length):
            return
        self.state = state
        self.tokens = list(tokens)

    def forget(self) -> None:
        """Forget all entries; what it may take stays its own."""
        self.state = None
        self.tokens.clear()

    def clear(self) -> None:
        """Release all memory."""
        super().clear()
        self.state = None


class OwnMemory(CountedMemory[OwnCache]):
    """Room for caches that models make for themselves."""

    def new_cache(self) -> OwnCache:
        """Return an empty cache, without memory."""
        return OwnCache()

    def donor(
        self, tokens: Sequence[int], limit: int, hint: OwnCache | None
    ) -> tuple[OwnCache | None, int]:
        """Return the cache that can give the longest prefix of `tokens`, and how long that is.

        Args:
            tokens: Cache keys.
            limit: Longest prefix of use.
            hint: A cache that likely holds a long one.
        """
        best, longest = None, 0
        with self._lock:
            for cache in {*self._caches, *([] if hint is None else [hint])}:
                shared = common_prefix(cache.tokens, tokens, limit)
                is_enough = shared >= SHARED_TOKENS or cache is hint
                if shared > longest and is_enough and cache.can_give(shared):
                    best, longest = cache, shared
        return best, longest


@dataclass(frozen=True, slots=True)
class CacheArguments:
    """How a model's forward pass takes its cache.

    Attributes:
        name: What it calls the cache.
        has_positions: Whether it takes positions; some models count them wrongly without.
    """

    name: str
    has_positions: bool


def forward_with_cache(
    model: PreTrainedModel,
    ids: Sequence[int],
    state: Any,
    start: int,
    *,
    arguments: CacheArguments,
    rows: list[int] | None = None,
) -> tuple[torch.Tensor, Any]:
    """Return the logits of one text's new tokens, `(R, V)`, and its cache with them.

    Args:
        model: The model.
        ids: The new tokens.
        state: The text's cache, which is changed; `None` for a new one.
        start: How many tokens it holds.
        arguments: How it is handed over.
        rows: The new tokens that logits are wanted of; by default all.

    Raises:
        NotImplementedError: The model gives no cache back.
    """
    device = input_device(model)
    told: dict[str, Any] = {arguments.name: state}
    if arguments.has_positions:
        told["position_ids"] = torch.arange(start, start + len(ids), device=device)[None]
    if rows is not None:
        told["logits_to_keep"] = kept_rows(model, rows)
    output = model(input_ids=torch.tensor([ids], device=device), use_cache=True, **told)
    for one in CACHE_NAMES:
        if (found := getattr(output, one, None)) is not None:
            return output.logits[0], found
    raise NotImplementedError("the model gives no cache back; it keeps what it read in itself")


def state_bytes(state: object) -> int:
    """Return the memory that a model's cache takes."""
    storages = {one.data_ptr(): one.nbytes for one in _tensors(state, set())}
    return sum(storages.values())


def _tensors(held: object, seen: set[int]) -> Iterator[torch.Tensor]:
    if id(held) in seen:
        return
    seen.add(id(held))
    if isinstance(held, torch.Tensor):
        yield held
        return
    if isinstance(held, dict):
        parts = list(held.values())
    elif isinstance(held, list | tuple):
        parts = list(held)
    else:
        parts = list(getattr(held, "__dict__", {}).values())
    for part in parts:
        yield from _tensors(part, seen)


def _is_croppable(state: Any) -> bool:
    return bool(getattr(state, "is_croppable", False))


def _is_cropped(state: Any, tokens: int) -> bool:
    """Take the last `tokens` entries off a cache; whether that was possible."""
    if not _is_croppable(state):
        return False
    try:
        length = state.get_seq_length()
        state.crop(-tokens)
        return bool(state.get_seq_length() == length - tokens)
    except (RuntimeError, ValueError):  # as a window that is full says
        return False
