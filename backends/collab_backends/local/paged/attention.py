"""Attention over pages, registered with transformers as an attention backend.

The new tokens of all texts stand in one row, `(1, H, T, D)`; a frame says where their entries go
and what they see. On a GPU the work is done by `kernels.py`, elsewhere by a plain gather.
"""

import importlib
from types import ModuleType
from typing import Protocol

import torch
from transformers import AttentionInterface

BACKEND_NAME = "collab_paged"


class Places(Protocol):
    """Where the tokens of a pass stand; all tensors are on the model's device.

    Attributes:
        slots: Where their entries go, `(T,)`.
        tables: By text, its pages, `(texts, P)` int32.
        blocks: Tokens of one text that attend together, see `kernels.attend`.
        block_tokens: Tokens of a block at most.
    """

    slots: torch.Tensor
    tables: torch.Tensor
    blocks: torch.Tensor
    block_tokens: int


def paged_attention(  # noqa: PLR0913  # the signature is transformers'
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    frame: Places,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Write the new keys and values to their pages and attend, block by block.

    Args:
        module: The attention layer, with its pools `key_pool` and `value_pool`.
        query: `(1, Hq, T, D)`.
        key: `(1, Hkv, T, D)`.
        value: `(1, Hkv, T, Dv)`.
        attention_mask: Not used; transformers makes none for a backend it does not know.
        frame: Where these tokens stand.
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
    out = _attend(
        query,
        key,
        value,
        # Attributes, not looked up by the layer's number: the compiler would specialise on it.
        module.key_pool,
        module.value_pool,
        frame.slots,
        frame.tables,
        frame.blocks,
        frame.block_tokens,
        query.shape[-1] ** -0.5 if scaling is None else scaling,
        sliding_window or 0,
        softcap or 0.0,
    )
    return out, None


@torch.library.custom_op("collab::paged_attention", mutates_args={"key_pool", "value_pool"})
def _attend(  # noqa: PLR0913  # an operator takes tensors and numbers only
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_pool: torch.Tensor,
    value_pool: torch.Tensor,
    slots: torch.Tensor,
    tables: torch.Tensor,
    blocks: torch.Tensor,
    block_tokens: int,
    scaling: float,
    window: int,
    softcap: float,
) -> torch.Tensor:
    if query.device.type == "cuda":
        kernels = _kernels()
        kernels.store(_dense(key[0]), _dense(value[0]), key_pool, value_pool, slots)
        out: torch.Tensor = kernels.attend(
            _dense(query[0]),
            key_pool,
            value_pool,
            tables,
            blocks,
            block_tokens=block_tokens,
            scaling=scaling,
            window=window,
            softcap=softcap,
        )
        return out[None]
    key_pool.flatten(0, 1).index_copy_(0, slots, key[0].transpose(0, 1).contiguous())
    value_pool.flatten(0, 1).index_copy_(0, slots, value[0].transpose(0, 1).contiguous())
    out = query.new_zeros(query.shape[2], query.shape[1], value.shape[3])
    for text, first, count, position in blocks.tolist():
        if count:
            rows = slice(first, first + count)
            out[rows] = _gathered(
                query[0, :, rows],
                _entries(key_pool, tables[text], position + count),
                _entries(value_pool, tables[text], position + count),
                scaling=scaling,
                window=window,
                softcap=softcap,
            )
    return out[None]


@_attend.register_fake
def _shape(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object) -> torch.Tensor:
    return query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])


def _entries(pool: torch.Tensor, table: torch.Tensor, tokens: int) -> torch.Tensor:
    """Return a text's first entries in order, `(Hkv, tokens, D)`."""
    pages = table[: -(-tokens // pool.shape[1])].long()
    return pool[pages].flatten(0, 1)[:tokens].transpose(0, 1)


def _gathered(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    scaling: float,
    window: int,
    softcap: float,
) -> torch.Tensor:
    """Attend with the last tokens of a text: `(Hq, T, D)` over `(Hkv, L, D)` to `(T, Hq, Dv)`."""
    group = query.shape[0] // keys.shape[0]
    new, length = query.shape[1], keys.shape[1]
    keys, values = keys.repeat_interleave(group, 0), values.repeat_interleave(group, 0)
    scores = query @ keys.transpose(1, 2) * scaling
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    place = torch.arange(length - new, length, device=query.device)[:, None]
    other = torch.arange(length, device=query.device)[None, :]
    seen = other <= place
    if window:
        seen &= other > place - window
    weights = torch.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1, dtype=torch.float32)
    return (weights.to(values.dtype) @ values).transpose(0, 1)


def _dense(states: torch.Tensor) -> torch.Tensor:
    """Return states whose numbers of one head and token stand side by side."""
    return states if states.stride(-1) == 1 else states.contiguous()


def _kernels() -> ModuleType:
    # Triton is there only where there is a GPU.
    return importlib.import_module("collab_backends.local.paged.kernels")


AttentionInterface.register(BACKEND_NAME, paged_attention)
