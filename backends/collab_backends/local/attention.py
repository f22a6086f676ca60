"""Attention over packed pieces of many texts, each against its own cache.

Registered with transformers as an attention backend, so that its model code runs as it is. The
new tokens of all texts stand in one row, `(1, H, T, D)`; the plan says whose they are. There is
no padding and no mask tensor for the batch.
"""

from dataclasses import dataclass, field

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from collab_backends.local.cache import SequenceCache

BACKEND_NAME = "collab_packed"


@dataclass(frozen=True, slots=True)
class Piece:
    """The new tokens of one text: `start` to `end` of the packed row."""

    cache: SequenceCache
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """Whose tokens stand where in one forward pass."""

    pieces: tuple[Piece, ...]
    _masks: dict[tuple[int, int, int | None, int], torch.Tensor] = field(default_factory=dict)

    def mask(self, shape: tuple[int, int, int | None, int], device: torch.device) -> torch.Tensor:
        """Return which keys the last tokens of a text see; all layers share it.

        Args:
            shape: New tokens, length of the text, window, and heads that share keys.
            device: Where it is needed.
        """
        found = self._masks.get(shape)
        if found is None or found.device != device:
            new, length, window, groups = shape
            found = _lower_right_mask(new, length, window, device).repeat(groups, 1)
            self._masks[shape] = found
        return found


def packed_attention(  # noqa: PLR0913  # the signature is transformers'
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    plan: AttentionPlan,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Write the new keys and values to the caches and attend, piece by piece.

    Args:
        module: The attention layer; its `layer_idx` names the cache's layer.
        query: `(1, Hq, T, D)`.
        key: `(1, Hkv, T, D)`.
        value: `(1, Hkv, T, Dv)`.
        attention_mask: Not used; transformers makes none for a backend it does not know.
        plan: Whose tokens these are.
        scaling: Factor on the scores; `None` for D ** -0.5.
        sliding_window: How many tokens back a token sees, itself included; `None` for all.
        softcap: Bound of the scores, by tanh.
        unused: What other backends take.

    Returns:
        `(1, T, Hq, Dv)`, and no weights.

    Raises:
        NotImplementedError: The model uses attention sinks.
    """
    if unused.get("s_aux") is not None:
        raise NotImplementedError("attention sinks are not supported by the local backend")
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # set by every transformers attention
    out = query.new_empty(query.shape[1], query.shape[2], value.shape[3])
    kind = _Kind(scaling, sliding_window, softcap)
    if plan.pieces[-1].end < out.shape[1]:
        # What fills a pass up belongs to no text.
        out[:, plan.pieces[-1].end :] = 0
    for piece in plan.pieces:
        span = slice(piece.start, piece.end)
        keys, values = piece.cache.write(layer, key[0, :, span], value[0, :, span])
        out[:, span] = _attend(query[0, :, span], keys, values, plan=plan, kind=kind)
    return out.transpose(0, 1)[None], None


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a layer's attention is like; see `packed_attention`."""

    scaling: float | None
    window: int | None
    softcap: float | None


def _attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    plan: AttentionPlan,
    kind: _Kind,
) -> torch.Tensor:
    """Attend with the last T of L tokens: `(Hq, T, D)` over `(Hkv, L, D)` to `(Hq, T, Dv)`."""
    heads, new, width = query.shape
    window = kind.window
    groups = heads // keys.shape[0]
    if window is not None and keys.shape[1] > new + window - 1:
        first = keys.shape[1] - new - window + 1
        keys, values = keys[:, first:], values[:, first:]
    # Heads that share keys become further queries, so that no key is ever repeated.
    folded = query.reshape(keys.shape[0], groups * new, width)
    mask = None
    if new > 1:
        mask = plan.mask((new, keys.shape[1], window, groups), query.device)
    if kind.softcap is None:
        out = scaled_dot_product_attention(
            folded[None], keys[None], values[None], attn_mask=mask, scale=kind.scaling
        )[0]
    else:
        out = _softcapped(
            folded, keys, values, mask=mask, scaling=kind.scaling, softcap=kind.softcap
        )
    return out.reshape(heads, new, values.shape[2])


def _lower_right_mask(
    new: int, length: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Return which of `length` keys each of the last `new` tokens sees, `(new, length)`."""
    place = torch.arange(length - new, length, device=device)[:, None]
    other = torch.arange(length, device=device)[None, :]
    seen = other <= place
    return seen if window is None else seen & (other > place - window)


def _softcapped(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(query @ keys.transpose(1, 2) * scale / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype) @ values


AttentionInterface.register(BACKEND_NAME, packed_attention)
