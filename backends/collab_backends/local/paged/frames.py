"""Frames: the inputs of passes of one shape, at fixed places in the device's memory.

What is launched again and again as a graph reads the same places every time. The host writes the
next pass's numbers to one of two buffers, so that it need not wait for the pass before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from collab_backends.local.paged.pages import PAGE_TOKENS, SCRATCH_PAGE
from collab_backends.local.paged.pool import Pool
from collab_backends.local.paged.reading import Sampled

DECODE_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Numbers of texts that decode together; others are filled up."""

MOST_TEXTS = DECODE_ROWS[-1]
"""Texts in work at once."""

READ_ROWS = (1, 4, 16, 64, 256, 1024, 4096)
"""Numbers of positions that logits are computed for when contexts are read."""

_LEAST_READ = 16


@dataclass(frozen=True, slots=True)
class Features:
    """What a pass computes beside the next tokens.

    Attributes:
        top_ks: The k of each top-k entropy.
        candidates: How many of the likeliest tokens are named; 0 for none.
        samples: Some text is sampled.
        filters: Some text is sampled from its most likely tokens only.
        observed: Layers whose inputs somebody reads.
        steered: Layers to whose inputs something is added.
    """

    top_ks: tuple[int, ...] = ()
    candidates: int = 0
    samples: bool = False
    filters: bool = False
    observed: tuple[int, ...] = ()
    steered: tuple[int, ...] = ()


class Frame:
    """Inputs at fixed places; see `collab_backends.local.paged.attention.Places`.

    Args:
        numbers: How many the host writes for a pass.
        pool: Holds the block tables.

    Attributes:
        ids: `(T,)`.
        positions: `(T,)`.
        rows: The tokens whose logits are wanted, `(R,)`; `None` for all.
        steers: By token, the row of the steering table whose vector is added, `(T,)`.
    """

    block_tokens: int
    slots: torch.Tensor
    blocks: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    steers: torch.Tensor
    rows: torch.Tensor | None = None

    def __init__(self, numbers: int, pool: Pool) -> None:
        self.pool = pool
        self.tables = pool.tables
        device = pool.tables.device
        is_pinned = device.type == "cuda"
        self._given = torch.zeros(numbers, dtype=torch.long, device=device)
        self._buffers = [
            torch.zeros(numbers, dtype=torch.long, pin_memory=is_pinned) for _ in range(2)
        ]
        self._taken: list[torch.Event | None] = [None, None]
        self._turn = 0

    @property
    def host(self) -> NDArray[np.int64]:
        """Where the host writes the next pass's numbers; as float64 by `view`."""
        if (taken := self._taken[self._turn]) is not None:
            taken.synchronize()
        numbers: NDArray[np.int64] = self._buffers[self._turn].numpy()
        return numbers

    def send(self) -> None:
        """Have the device take what the host wrote; the next pass gets the other buffer."""
        self._given.copy_(self._buffers[self._turn], non_blocking=True)
        if self._given.device.type == "cuda":
            self._taken[self._turn] = torch.cuda.current_stream().record_event()
        self._turn = 1 - self._turn

    def blank(self) -> None:
        """Write a pass without any text, to try it."""
        raise NotImplementedError

    def unpack(self) -> None:
        """Make the pass's tensors of what the host gave; a part of what is launched."""
        raise NotImplementedError


class DecodeFrame(Frame):
    """One token of each of some texts.

    Args:
        texts: How many.
        pool: Holds the block tables.
        last: By row of the block tables, the token decoded last, `(texts + 1,)`.
    """

    block_tokens = 1
    ROW, POSITION, PAGE, GIVEN, STEER, TOP_K, UNIFORM, TEMPERATURE, TOP_P, COLUMNS = range(10)

    def __init__(self, texts: int, pool: Pool, last: torch.Tensor) -> None:
        super().__init__(texts * self.COLUMNS, pool)
        self.texts = texts
        self._last = last
        self._order = torch.arange(texts, device=last.device)
        self.places = self._order

    def load(self, columns: Sequence[Sequence[int]], floats: Sequence[Sequence[float]]) -> None:
        """Give the next pass's texts.

        Args:
            columns: ROW to TOP_K, each with a number for every text; GIVEN is the token to be fed,
                or -1 for the one that the device decoded last.
            floats: UNIFORM, TEMPERATURE and TOP_P, likewise.
        """
        table = self.host.reshape(self.texts, self.COLUMNS)
        count = len(columns[0])
        for column, numbers in enumerate(columns):
            table[:count, column] = numbers
        reals = table.view(np.float64)
        for column, values in enumerate(floats, start=self.UNIFORM):
            reals[:count, column] = values
        self._fill(table, count)
        self.send()

    def blank(self) -> None:
        """Write a pass without any text, to try it."""
        self._fill(self.host.reshape(self.texts, self.COLUMNS), 0)
        self.send()

    def unpack(self) -> None:
        """Make the pass's tensors of what the host gave; a part of what is launched."""
        table = self._given.view(self.texts, self.COLUMNS)
        self.places = table[:, self.ROW]
        self.positions = table[:, self.POSITION]
        page = table[:, self.PAGE]
        given = table[:, self.GIVEN]
        self.steers = table[:, self.STEER]
        self.tables[self.places, self.positions // PAGE_TOKENS] = page.int()
        self.slots = page * PAGE_TOKENS + self.positions % PAGE_TOKENS
        is_text = self.places != self.pool.scratch_row
        self.blocks = torch.stack([self.places, self._order, is_text, self.positions], dim=1).int()
        self.ids = torch.where(given >= 0, given, self._last[self.places])

    def sampled(self, *, has_filters: bool) -> Sampled:
        """Return how the next tokens are drawn."""
        table = self._given.view(self.texts, self.COLUMNS)
        reals = table.view(torch.float64)
        return Sampled(
            reals[:, self.UNIFORM],
            reals[:, self.TEMPERATURE],
            table[:, self.TOP_K],
            reals[:, self.TOP_P],
            has_filters,
        )

    def note(self, ids: torch.Tensor) -> None:
        """Keep the tokens just decoded, to be fed next."""
        self._last[self.places] = ids

    def _fill(self, table: NDArray[np.int64], count: int) -> None:
        """Have the rows after the texts belong to none."""
        table[count:] = 0
        table[count:, self.ROW] = self.pool.scratch_row
        table[count:, self.PAGE] = SCRATCH_PAGE


class ReadFrame(Frame):
    """Pieces of contexts.

    Args:
        tokens: Of all of them.
        rows: Positions that logits are computed for.
        pool: Holds the block tables.
    """

    def __init__(self, tokens: int, rows: int, pool: Pool) -> None:
        self.block_tokens = 16 if tokens <= 256 else 64
        self._blocks = -(-tokens // self.block_tokens) + min(tokens, pool.texts)
        self._tokens, self._rows = tokens, rows
        super().__init__(4 * tokens + 4 * self._blocks + rows, pool)

    def load(
        self,
        tokens: NDArray[np.int64],
        blocks: Sequence[tuple[int, int, int, int]],
        rows: Sequence[int],
    ) -> None:
        """Give the next pass's contexts.

        Args:
            tokens: Of each its id, position, slot and steering, `(T, 4)`.
            blocks: See `kernels.attend`.
            rows: Tokens whose logits are wanted.
        """
        numbers = self.host
        numbers[:] = 0
        numbers[: 4 * len(tokens)] = tokens.ravel()
        start = 4 * self._tokens
        numbers[start : start + 4 * len(blocks)] = np.asarray(blocks).ravel()
        start += 4 * self._blocks
        numbers[start : start + len(rows)] = rows
        self.send()

    def blank(self) -> None:
        """Write a pass without any text, to try it."""
        self.host[:] = 0
        self.send()

    def unpack(self) -> None:
        """Make the pass's tensors of what the host gave; a part of what is launched."""
        sizes = [4 * self._tokens, 4 * self._blocks, self._rows]
        tokens, blocks, self.rows = torch.split(self._given, sizes)
        self.ids, self.positions, self.slots, self.steers = tokens.view(-1, 4).t().contiguous()
        self.blocks = blocks.view(-1, 4).int()


def decode_rows(texts: int) -> int:
    """Return how many rows a pass has in which `texts` texts decode."""
    return next(rows for rows in DECODE_ROWS if rows >= texts)


def read_shape(tokens: int, rows: int) -> tuple[int, int]:
    """Return of how many tokens and rows a pass over contexts is made."""
    wide = max(_LEAST_READ, 1 << (tokens - 1).bit_length())
    return wide, min(next(some for some in READ_ROWS if some >= rows), wide)
