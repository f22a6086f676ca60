"""The tensors that pages stand in, one pair for each attention layer, and the block tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from collab.errors import ModelLoadError
from collab_backends.local.paged.pages import PAGE_TOKENS, SCRATCH_PAGE, pages_of

_MEASURING = "collab_measuring"
_WIDTHS = range(8, 257)
"""Head sizes that the kernels take."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the entries of one attention layer look like.

    Attributes:
        heads: Key heads.
        key_width: Numbers of a key.
        value_width: Numbers of a value.
        dtype: Of both.
    """

    heads: int
    key_width: int
    value_width: int
    dtype: torch.dtype

    @property
    def numbers(self) -> int:
        """Numbers of one token."""
        return self.heads * (self.key_width + self.value_width)


class UnpageableError(ModelLoadError):
    """A model whose attention cannot be computed over pages; the message says why."""


def measure(model: PreTrainedModel) -> dict[nn.Module, Shape]:
    """Return a model's attention layers and what their entries look like.

    Leaves the model with an attention that computes nothing.

    Raises:
        UnpageableError: Some layer's entries do not fit pages.
    """
    shapes: dict[nn.Module, Shape] = {}
    model.set_attn_implementation(_MEASURING)
    with torch.inference_mode():
        model(
            torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False, seen=shapes
        )
    if not shapes:
        raise UnpageableError("it has no attention layers")
    for shape in shapes.values():
        if shape.key_width not in _WIDTHS or shape.value_width not in _WIDTHS:
            raise UnpageableError(
                f"its heads are {shape.key_width} and {shape.value_width} wide; pages take "
                f"{_WIDTHS.start} to {_WIDTHS.stop - 1}"
            )
    return shapes


def _measuring_attention(  # the signature is transformers'
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    seen: dict[nn.Module, Shape],
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Note what a layer's entries look like; return zeros, `(1, T, Hq, Dv)`."""
    if module in seen:
        raise UnpageableError("its layers share one attention module")
    seen[module] = Shape(key.shape[1], key.shape[3], value.shape[3], key.dtype)
    return value.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None


class Pool:
    """Keys and values of all pages.

    Layers whose entries look alike stand in one tensor, so that a page is copied at once. Each
    layer is given its own part of it as the attributes `key_pool` and `value_pool`.

    Args:
        shapes: By attention layer, see `measure`.
        pages: How many pages there are.
        texts: How many texts can have a block table at once.
        most_tokens: Longest text.
        device: Where they stand.

    Attributes:
        pages: How many there are.
        texts: How many texts can have a block table at once.
        tables: By text, its pages, `(texts + 1, P)` int32; the last row is scratch.
        nbytes: Memory of all pages.

    Raises:
        ModelLoadError: The pages do not fit into memory.
    """

    def __init__(  # what is allocated together
        self,
        shapes: dict[nn.Module, Shape],
        pages: int,
        *,
        texts: int,
        most_tokens: int,
        device: torch.device,
    ) -> None:
        self.pages, self.texts = pages, texts
        groups: dict[Shape, list[nn.Module]] = {}
        for module, shape in shapes.items():
            groups.setdefault(shape, []).append(module)
        self._modules = list(shapes)
        self._pools: list[torch.Tensor] = []
        try:
            for shape, modules in groups.items():
                for name, width in (
                    ("key_pool", shape.key_width),
                    ("value_pool", shape.value_width),
                ):
                    size = (len(modules), pages, PAGE_TOKENS, shape.heads, width)
                    pool = torch.empty(size, device=device, dtype=shape.dtype)
                    self._pools.append(pool)
                    for number, module in enumerate(modules):
                        setattr(module, name, pool[number])
        except (torch.OutOfMemoryError, RuntimeError) as error:
            self.close()
            raise ModelLoadError(
                f"there is no memory for {pages:,} pages of {PAGE_TOKENS} tokens on {device}: "
                f"{error}; lower cache_gib"
            ) from error
        self.nbytes = sum(pool.nbytes for pool in self._pools)
        width = pages_of(most_tokens) + 1
        self.tables = torch.full((texts + 1, width), SCRATCH_PAGE, device=device, dtype=torch.int32)
        self._waiting: list[tuple[int, int]] = []

    @property
    def scratch_row(self) -> int:
        """The block table of no text."""
        return self.texts

    def copy_pages(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Have entries of pages copied to others before the next pass."""
        if not {target for _, target in self._waiting}.isdisjoint(sources):
            self.flush()
        self._waiting += zip(sources, targets, strict=True)

    def flush(self) -> None:
        """Copy now what waits to be copied."""
        if not self._waiting:
            return
        places = torch.tensor(self._waiting, dtype=torch.long).to(self.tables.device)
        for pool in self._pools:
            pool.index_copy_(1, places[:, 1], pool.index_select(1, places[:, 0]))
        self._waiting = []

    def set_tables(self, rows: Sequence[int], pages: Sequence[Sequence[int]]) -> None:
        """Write the beginnings of some block tables."""
        width = max(map(len, pages))
        padded = [[*one, *[SCRATCH_PAGE] * (width - len(one))] for one in pages]
        values = torch.tensor([[row, *one] for row, one in zip(rows, padded, strict=True)])
        values = values.to(self.tables.device)
        self.tables[values[:, 0], :width] = values[:, 1:].int()

    def close(self) -> None:
        """Let go of all memory."""
        for module in self._modules:
            for name in ("key_pool", "value_pool"):
                if hasattr(module, name):
                    delattr(module, name)
        self._pools = []


AttentionInterface.register(_MEASURING, _measuring_attention)
