"""A look at a loaded model: does it give the same logits through our attention as through its own?

Architectures that keep state outside attention run without an error and write nonsense. What is
known of them is refused by name; this finds the others.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from collab.errors import ModelLoadError
from collab_backends.local.attention import BACKEND_NAME, AttentionPlan, Piece
from collab_backends.local.cache import SequenceCache
from collab_backends.local.placement import input_device
from collab_backends.local.refusals import INSTEAD
from collab_backends.local.windows import ensure_windows_are_handed_over

_TOKENS = 24
_CUT = 15
_NEIGHBOUR = 7

_SCALED_SOON = {"floor_scale": 4, "attn_scale": 10.0}
"""Attributes of layers that say from which position on attention is scaled, and how much."""

_MOST_ASTRAY = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}
"""Mean difference of logits that is still rounding, as a share of their spread."""


@torch.inference_mode()
def probe(model: PreTrainedModel, reference: str) -> int:
    """Compare a text in two pieces, packed with a neighbour, with the model's plain forward pass.

    Leaves the model with our attention.

    Returns:
        The bytes that one token takes in a KV cache.

    Raises:
        ModelLoadError: The logits differ by more than rounding, are no numbers, or a window is
            not handed over.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (_TOKENS,), generator=generator)
    neighbour = torch.randint(vocabulary, (_NEIGHBOUR,), generator=generator)
    ensure_windows_are_handed_over(model, reference)
    with _scaled_soon(model):
        model.set_attn_implementation("eager")
        plain = model(ids[None].to(input_device(model)), use_cache=False).logits[0].float()
        model.set_attn_implementation(BACKEND_NAME)
        cache, other = SequenceCache(), SequenceCache()
        first = _packed(model, [(other, neighbour), (cache, ids[:_CUT])])[_NEIGHBOUR:]
        second = _packed(model, [(cache, ids[_CUT:])])
    ensure_numbers(plain, model, reference)
    astray = (torch.cat([first, second]) - plain).abs().mean() / plain.std().clamp(min=1e-6)
    if not float(astray) <= most_astray(model):
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) gives different logits through the local "
            f"engine than by itself: they differ by {float(astray):.2g} of their spread. Its "
            f"layers use more than the tokens and positions of one text; {INSTEAD}"
        )
    return cache.nbytes // cache.capacity


def ensure_numbers(logits: torch.Tensor, model: PreTrainedModel, reference: str) -> None:
    """Refuse a model whose logits are no numbers.

    Raises:
        ModelLoadError: They are not.
    """
    if not bool(logits.isfinite().all()):
        raise ModelLoadError(
            f"{reference!r} gives logits that are not numbers, even by itself: its weights are "
            f"damaged, or too large for {str(model.dtype).removeprefix('torch.')}; load it with "
            "dtype float32, or get the files again"
        )


def most_astray(model: PreTrainedModel) -> float:
    """Return which mean difference of logits is still rounding, as a share of their spread.

    Kernels for quantised weights compute in 16 bits, whatever goes in and comes out.
    """
    is_quantised = getattr(model, "is_quantized", False)
    return most_rounding(torch.bfloat16 if is_quantised else model.dtype)


def most_rounding(dtype: torch.dtype) -> float:
    """Return the same for computing in a dtype."""
    return _MOST_ASTRAY.get(dtype, _MOST_ASTRAY[torch.bfloat16])


@contextmanager
def _scaled_soon(model: PreTrainedModel) -> Iterator[None]:
    """Have layers that scale attention in long texts do so within the probe's short one."""
    changed = [
        (module, name, getattr(module, name))
        for module in model.modules()
        for name in _SCALED_SOON
        if isinstance(getattr(module, name, None), int | float)
    ]
    for module, name, _ in changed:
        setattr(module, name, _SCALED_SOON[name])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


def _packed(
    model: PreTrainedModel, pieces: list[tuple[SequenceCache, torch.Tensor]]
) -> torch.Tensor:
    plan: list[Piece] = []
    positions: list[int] = []
    start = 0
    for cache, ids in pieces:
        plan.append(Piece(cache, start, start + len(ids)))
        positions += range(cache.length, cache.length + len(ids))
        start += len(ids)
    packed = torch.cat([ids for _, ids in pieces])[None].to(input_device(model))
    logits: torch.Tensor = model(
        input_ids=packed,
        position_ids=torch.tensor([positions], device=input_device(model)),
        use_cache=False,
        plan=AttentionPlan(tuple(plan)),
    ).logits[0]
    for cache, ids in pieces:
        cache.advance(ids.tolist())
    return logits.float()
