"""A kernel that reads what is asked of logits in one go, in Triton.

Imported only where Triton is there; `TRITON_INTERPRET=1` runs it on a CPU, for tests.
"""

import torch
import triton
import triton.language as tl

from collab_backends.local.paged.kernels import power

_PIECE = 4096
"""Logits that one program reduces."""


@triton.jit
def _scan_logits(logits, parts, row_stride, V, PIECE: tl.constexpr, PIECES: tl.constexpr):
    """Reduce one piece of a row: its maximum, where it first is, the next, and the sum."""
    row = tl.program_id(0)
    piece = tl.program_id(1)
    place = piece * PIECE + tl.arange(0, PIECE)
    is_there = place < V
    found = tl.load(logits + row * row_stride + place, mask=is_there, other=-float("inf"))
    found = found.to(tl.float32)
    top = tl.max(found, 0)
    where = tl.min(tl.where((found == top) & is_there, place, V), 0)
    second = tl.max(tl.where(place == where, -float("inf"), found), 0)
    base = tl.where(top == -float("inf"), 0.0, top)
    weights = tl.exp(found - base)
    at = (row * PIECES + piece) * 4
    tl.store(parts + at, top)
    tl.store(parts + at + 1, where.to(tl.float32))
    tl.store(parts + at + 2, second)
    tl.store(parts + at + 3, tl.sum(weights, 0))


@triton.jit
def _join_logits(parts, out, V, PIECES: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0)
    piece = tl.arange(0, WIDTH)
    is_there = piece < PIECES
    at = (row * PIECES + piece) * 4
    top = tl.load(parts + at, mask=is_there, other=-float("inf"))
    where = tl.load(parts + at + 1, mask=is_there, other=0.0)
    second = tl.load(parts + at + 2, mask=is_there, other=-float("inf"))
    total = tl.load(parts + at + 3, mask=is_there, other=0.0)
    highest = tl.max(top, 0)
    first = tl.min(tl.where((top == highest) & is_there, where, V), 0)
    # The next is the largest of what its own piece has next and of what the others have first.
    others = tl.where(where == first, second, top)
    weights = tl.where(is_there, tl.exp(top - highest), 0.0)
    tl.store(out + row * 4, first)
    tl.store(out + row * 4 + 1, highest + tl.log(tl.sum(total * weights, 0)))
    tl.store(out + row * 4 + 2, highest)
    tl.store(out + row * 4 + 3, tl.max(others, 0))


def scan(logits: torch.Tensor) -> torch.Tensor:
    """Return `(R, 4)` float32 of logits `(R, V)`: see `reading.heads`."""
    rows, vocabulary = logits.shape
    piece = min(_PIECE, power(vocabulary))
    pieces = -(-vocabulary // piece)
    parts = torch.empty(rows, pieces, 4, device=logits.device, dtype=torch.float32)
    out = torch.empty(rows, 4, device=logits.device, dtype=torch.float32)
    _scan_logits[(rows, pieces)](
        logits, parts, logits.stride(0), vocabulary, PIECE=piece, PIECES=pieces, num_warps=8
    )
    _join_logits[(rows,)](parts, out, vocabulary, PIECES=pieces, WIDTH=power(pieces), num_warps=2)
    return out
