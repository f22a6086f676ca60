"""A look at the cache that a model makes for itself: can a text go on with it, in what steps?"""

import copy
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from collab.errors import ModelLoadError
from collab_backends.local.generic_cache import (
    CACHE_NAMES,
    CacheArguments,
    forward_with_cache,
    state_bytes,
)
from collab_backends.local.placement import input_device
from collab_backends.local.probe import ensure_numbers, most_astray

_TOKENS = 24
_CUT = 15
_NEIGHBOUR = 7
_LEAST_UNIT = 64
"""Bytes counted as one token, for a cache that does not grow."""


@dataclass(frozen=True, slots=True)
class OwnCacheFacts:
    """What is known of a model's own cache.

    Attributes:
        arguments: How the model's forward pass takes it.
        takes_pieces: Whether several tokens can be appended to a text at once; if not, they are
            computed one by one, all but those of an empty text.
        token_bytes: Memory that one more token takes.
        fixed_tokens: Memory that a text takes however short it is, in tokens.
    """

    arguments: CacheArguments
    takes_pieces: bool
    token_bytes: int
    fixed_tokens: int


@torch.inference_mode()
def probe_own_cache(model: PreTrainedModel, reference: str) -> OwnCacheFacts:
    """Compare a text in two parts, with another text between them, with one plain forward pass.

    Raises:
        ModelLoadError: The model has no cache, cannot choose rows of logits, or gives other
            logits with its cache than without.
    """
    arguments = _arguments(model, reference)
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids, other = (
        torch.randint(vocabulary, (count,), generator=generator).tolist()
        for count in (_TOKENS, _NEIGHBOUR)
    )
    row = torch.tensor([ids], device=input_device(model))
    plain = model(row, use_cache=False).logits[0].float()
    ensure_numbers(plain, model, reference)
    rest = _TOKENS - _CUT
    astray = math.inf
    for takes_pieces, steps in ((True, [rest]), (False, [1] * rest)):
        try:
            found, few, many = _in_parts(model, arguments, ids, other, steps)
        except (RuntimeError, ValueError, NotImplementedError):
            if takes_pieces:  # one by one it may do
                continue
            raise
        astray = float((found - plain).abs().mean() / plain.std().clamp(min=1e-6))
        if astray <= most_astray(model):
            growth = max((many - few) // rest, 0)
            unit = growth or _LEAST_UNIT
            fixed = max(few - growth * _CUT, 0)
            return OwnCacheFacts(arguments, takes_pieces, unit, -(-fixed // unit))
    raise ModelLoadError(
        f"{reference!r} ({type(model).__name__}) gives different logits when it continues with "
        f"its own cache than for the whole text: they differ by {astray:.2g} of their spread. It "
        "keeps something of a text elsewhere; serve it remotely instead"
    )


def _in_parts(
    model: PreTrainedModel,
    arguments: CacheArguments,
    ids: Sequence[int],
    other: Sequence[int],
    steps: Sequence[int],
) -> tuple[torch.Tensor, int, int]:
    """Return the logits of a text in parts, and the bytes of its cache after the first and last."""
    feed = partial(forward_with_cache, model, arguments=arguments)
    first, state = feed(ids[:_CUT], None, 0)
    few = state_bytes(state)
    _, neighbour = feed(other, None, 0)
    rows: list[torch.Tensor] = [first]
    start = _CUT
    held: Any = _copied(state)
    for number, step in enumerate(steps):
        logits, held = feed(ids[start : start + step], held, start)
        rows.append(logits)
        start += step
        # A text between two parts must not show in the second.
        _, neighbour = feed(other[:1], neighbour, len(other) + number)
    return torch.cat(rows).float(), few, state_bytes(held)


def _copied(state: Any) -> Any:
    """Return a copy, as a fork goes on with one; itself where it cannot be copied."""
    try:
        return copy.deepcopy(state)
    except (RuntimeError, TypeError, NotImplementedError):
        return state


def _arguments(model: PreTrainedModel, reference: str) -> CacheArguments:
    known = inspect.signature(model.forward).parameters
    name = next((one for one in CACHE_NAMES if one in known), None)
    if name is None or "logits_to_keep" not in known:
        lacks = "no cache" if name is None else "no choice of the rows that logits are computed of"
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) cannot be run by the local engine: its "
            f"forward pass knows {lacks}; serve it remotely instead"
        )
    return CacheArguments(name, "position_ids" in known)
