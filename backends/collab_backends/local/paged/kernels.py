"""Kernels for pages, in Triton: attention over a block table, and writing entries.

Imported only where Triton is there; `TRITON_INTERPRET=1` runs them on a CPU, for tests.
"""

import torch
import triton
import triton.language as tl

_KEYS = 64
"""Keys that one turn of the attention's loop takes."""


@triton.jit
def _store(
    keys,
    values,
    key_pool,
    value_pool,
    slots,
    slot_stride,
    key_token,
    key_head,
    value_token,
    value_head,
    HEADS: tl.constexpr,
    KEY: tl.constexpr,
    VALUE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Write the entries of one token to its slot; pools are contiguous `(slots, HEADS, D)`."""
    token = tl.program_id(0)
    slot = tl.load(slots + token * slot_stride).to(tl.int64)
    place = tl.arange(0, WIDTH)
    for head in range(HEADS):
        key = tl.load(keys + token * key_token + head * key_head + place, mask=place < KEY)
        tl.store(key_pool + (slot * HEADS + head) * KEY + place, key, mask=place < KEY)
        value = tl.load(
            values + token * value_token + head * value_head + place, mask=place < VALUE
        )
        tl.store(value_pool + (slot * HEADS + head) * VALUE + place, value, mask=place < VALUE)


@triton.jit
def _attend(
    query,
    key_pool,
    value_pool,
    out,
    partial,
    tops,
    sums,
    tables,
    blocks,
    query_token,
    query_head,
    table_row,
    scaling,
    window,
    softcap,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    KEY: tl.constexpr,
    VALUE: tl.constexpr,
    ROWS: tl.constexpr,
    KEY_WIDTH: tl.constexpr,
    VALUE_WIDTH: tl.constexpr,
    PAGE: tl.constexpr,
    KEYS: tl.constexpr,
    SPLITS: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attend with the tokens of one block, for one key head and one part of the keys.

    A row is a token of the block and one of the GROUP query heads that share the key head.
    """
    block = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.program_id(2)
    table = tl.load(blocks + block * 4)
    first = tl.load(blocks + block * 4 + 1)
    count = tl.load(blocks + block * 4 + 2)
    position = tl.load(blocks + block * 4 + 3)
    if count > 0:
        used = position + count
        begin = 0
        if HAS_WINDOW:
            begin = tl.maximum(0, position - window + 1) // KEYS * KEYS
        share = tl.cdiv(tl.cdiv(used - begin, KEYS), SPLITS) * KEYS
        low = begin + split * share
        high = tl.minimum(low + share, used)
        row = tl.arange(0, ROWS)
        token = row // GROUP
        is_row = token < count
        query_heads = head * GROUP + row % GROUP
        wide = tl.arange(0, KEY_WIDTH)
        across = tl.arange(0, VALUE_WIDTH)
        asked = tl.load(
            query
            + (first + token)[:, None] * query_token
            + query_heads[:, None] * query_head
            + wide[None, :],
            mask=is_row[:, None] & (wide < KEY)[None, :],
            other=0.0,
        )
        top = tl.full([ROWS], -float("inf"), tl.float32)
        total = tl.zeros([ROWS], tl.float32)
        gathered = tl.zeros([ROWS, VALUE_WIDTH], tl.float32)
        for start in range(low, high, KEYS):
            place = start + tl.arange(0, KEYS)
            is_key = place < high
            page = tl.load(tables + table * table_row + place // PAGE, mask=is_key, other=0)
            slot = (page.to(tl.int64) * PAGE + place % PAGE) * HEADS + head
            key = tl.load(
                key_pool + slot[:, None] * KEY + wide[None, :],
                mask=is_key[:, None] & (wide < KEY)[None, :],
                other=0.0,
            )
            scores = tl.dot(asked, tl.trans(key), input_precision=PRECISION) * scaling
            if HAS_SOFTCAP:
                # tanh, by what every version of Triton has.
                doubled = tl.exp(-2.0 * tl.abs(scores / softcap))
                bent = (1.0 - doubled) / (1.0 + doubled)
                scores = tl.where(scores < 0, -bent, bent) * softcap
            seen = is_key[None, :] & (place[None, :] <= (position + token)[:, None])
            if HAS_WINDOW:
                seen = seen & (place[None, :] > (position + token - window)[:, None])
            scores = tl.where(seen, scores, -float("inf"))
            higher = tl.maximum(top, tl.max(scores, 1))
            base = tl.where(higher == -float("inf"), 0.0, higher)
            weights = tl.exp(scores - base[:, None])
            fade = tl.exp(top - base)
            value = tl.load(
                value_pool + slot[:, None] * VALUE + across[None, :],
                mask=is_key[:, None] & (across < VALUE)[None, :],
                other=0.0,
            )
            gathered = gathered * fade[:, None] + tl.dot(
                weights.to(value.dtype), value, input_precision=PRECISION
            )
            total = total * fade + tl.sum(weights, 1)
            top = higher
        is_entry = is_row[:, None] & (across < VALUE)[None, :]
        width: tl.constexpr = HEADS * GROUP
        if SPLITS == 1:
            place_out = ((first + token) * width + query_heads)[:, None] * VALUE + across[None, :]
            shown = gathered / tl.where(total > 0, total, 1.0)[:, None]
            tl.store(out + place_out, shown.to(out.dtype.element_ty), mask=is_entry)
        else:
            part = ((first + token) * SPLITS + split) * width + query_heads
            tl.store(partial + part[:, None] * VALUE + across[None, :], gathered, mask=is_entry)
            tl.store(tops + part, top, mask=is_row)
            tl.store(sums + part, total, mask=is_row)


@triton.jit
def _merge(
    partial,
    tops,
    sums,
    out,
    HEADS: tl.constexpr,
    VALUE: tl.constexpr,
    WIDTH: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """Join the parts of one token's keys, for one query head."""
    token = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.arange(0, SPLITS)
    across = tl.arange(0, WIDTH)
    part = (token * SPLITS + split) * HEADS + head
    total = tl.load(sums + part)
    if tl.max(total, 0) > 0:
        top = tl.load(tops + part, mask=total > 0, other=-float("inf"))
        highest = tl.max(top, 0)
        weights = tl.where(total > 0, tl.exp(top - highest), 0.0)
        gathered = tl.load(
            partial + part[:, None] * VALUE + across[None, :],
            mask=(total > 0)[:, None] & (across < VALUE)[None, :],
            other=0.0,
        )
        whole = tl.sum(total * weights, 0)
        joined = tl.sum(gathered * weights[:, None], 0) / tl.where(whole > 0, whole, 1.0)
        place = (token * HEADS + head) * VALUE + across
        tl.store(out + place, joined.to(out.dtype.element_ty), mask=across < VALUE)


def store(
    keys: torch.Tensor,
    values: torch.Tensor,
    key_pool: torch.Tensor,
    value_pool: torch.Tensor,
    slots: torch.Tensor,
) -> None:
    """Write new entries to their slots.

    Args:
        keys: `(Hkv, T, D)`, contiguous in D.
        values: `(Hkv, T, Dv)`, likewise.
        key_pool: `(pages, page, Hkv, D)`, contiguous.
        value_pool: `(pages, page, Hkv, Dv)`, contiguous.
        slots: `(T,)`.
    """
    heads, tokens, width = keys.shape
    _store[(tokens,)](
        keys,
        values,
        key_pool,
        value_pool,
        slots,
        slots.stride(0),
        keys.stride(1),
        keys.stride(0),
        values.stride(1),
        values.stride(0),
        HEADS=heads,
        KEY=width,
        VALUE=values.shape[2],
        WIDTH=power(max(width, values.shape[2])),
        num_warps=2,
    )


def attend(  # what a layer's attention is like
    query: torch.Tensor,
    key_pool: torch.Tensor,
    value_pool: torch.Tensor,
    tables: torch.Tensor,
    blocks: torch.Tensor,
    *,
    block_tokens: int,
    scaling: float,
    window: int,
    softcap: float,
    splits: int = 0,
) -> torch.Tensor:
    """Return what the tokens of all blocks gather from their texts' pages, `(T, Hq, Dv)`.

    Args:
        query: `(Hq, T, D)`, contiguous in D.
        key_pool: `(pages, page, Hkv, D)`, contiguous.
        value_pool: `(pages, page, Hkv, Dv)`, contiguous.
        tables: By text, its pages, `(texts, P)` int32.
        blocks: `(N, 4)` int32: the text, the first row of `query`, how many rows, 0 for none, and
            the first one's position.
        block_tokens: Rows of a block at most.
        scaling: Factor on the scores.
        window: How many tokens back a token sees, itself included; 0 for all.
        softcap: Bound of the scores, by tanh; 0 for none.
        splits: Parts of the keys, a power of two; 0 for what fills the device.
    """
    query_heads, tokens, key_width = query.shape
    heads, value_width = value_pool.shape[2], value_pool.shape[3]
    group = query_heads // heads
    splits = splits or _splits(len(blocks) * heads)
    rows = max(16, power(block_tokens * group))
    out = query.new_zeros(tokens, query_heads, value_width)
    parts = (tokens, splits, query_heads) if splits > 1 else (1, 1, 1)
    partial = torch.empty(*parts, value_width, device=query.device, dtype=torch.float32)
    tops = torch.empty(parts, device=query.device, dtype=torch.float32)
    # Rows of no text stay at 0, and are shown as zeros.
    sums = torch.zeros_like(tops)
    _attend[(len(blocks), heads, splits)](
        query,
        key_pool,
        value_pool,
        out,
        partial,
        tops,
        sums,
        tables,
        blocks,
        query.stride(1),
        query.stride(0),
        tables.stride(0),
        scaling,
        window,
        softcap,
        HEADS=heads,
        GROUP=group,
        KEY=key_width,
        VALUE=value_width,
        ROWS=rows,
        KEY_WIDTH=power(key_width),
        VALUE_WIDTH=power(value_width),
        PAGE=key_pool.shape[1],
        KEYS=_KEYS,
        SPLITS=splits,
        HAS_WINDOW=window > 0,
        HAS_SOFTCAP=softcap > 0,
        PRECISION="ieee" if query.dtype == torch.float32 else "tf32",
        num_warps=4 if rows <= 64 else 8,
        num_stages=3 if query.dtype != torch.float32 else 1,
    )
    if splits > 1:
        _merge[(tokens, query_heads)](
            partial,
            tops,
            sums,
            out,
            HEADS=query_heads,
            VALUE=value_width,
            WIDTH=power(value_width),
            SPLITS=splits,
            num_warps=4,
        )
    return out


def _splits(programs: int) -> int:
    """Return into how many parts to cut the keys so that a large device is busy."""
    # Measured on an H200: 16 parts for 8 programs, 8 for 64, 2 for 256, 1 for 1,024.
    parts = max(512 // programs, 1)
    return min(1 << (parts.bit_length() - 1), 16)


def power(number: int) -> int:
    """Return the next power of two, at least 16."""
    return max(16, 1 << (number - 1).bit_length())
