"""Windows: does every layer tell its attention how far its tokens see?

A model's own mask may hide tokens from a layer that hands no window to its attention function.
Nothing fails then, and texts longer than the window come out wrong. So the model runs once over a
short text, with its windows made shorter still, through an attention that only takes notes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from collab.errors import ModelLoadError
from collab_backends.local.placement import input_device
from collab_backends.local.refusals import INSTEAD

_NOTING = "collab_noting"
_TOKENS, _SHORT = 12, 4
_BOUNDS = ("sliding_window", "attention_chunk_size")
"""What configurations call the bounds that their masks are made of."""


@dataclass(slots=True)
class _Notes:
    """What layers were shown, by their index: tokens that the first may see, and a window."""

    is_plain: dict[int, bool] = field(default_factory=dict)
    is_window: dict[int, bool] = field(default_factory=dict)
    windows: dict[int, int | None] = field(default_factory=dict)


def ensure_windows_are_handed_over(model: PreTrainedModel, reference: str) -> None:
    """Refuse a model whose masks hide more from a layer than the layer tells its attention.

    Leaves the model with an attention of ours that computes nothing.

    Raises:
        ModelLoadError: Such a layer was seen.
    """
    notes, config = _Notes(), model.config.get_text_config()
    bounds = {name: bound for name in _BOUNDS if (bound := getattr(config, name, None))}
    model.set_attn_implementation(_NOTING)
    ids = torch.arange(_TOKENS, device=input_device(model))[None] % int(config.vocab_size)
    with _shortened(config, bounds), torch.inference_mode():
        model(ids, use_cache=False, notes=notes)
    # Layers keep the window that they were made with, or read the configuration's, shortened one.
    known = {bounds.get("sliding_window"), _SHORT}
    for layer, is_plain in sorted(notes.is_plain.items()):
        window = notes.windows[layer]
        is_told = is_plain if window is None else notes.is_window[layer] and window in known
        if not is_told:
            told = ", ".join(f"{name} {bound:,}" for name, bound in bounds.items()) or "no bound"
            raise ModelLoadError(
                f"{reference!r} ({type(model).__name__}) limits how far back its tokens see "
                f"({told}), but layer {layer} gives its attention a different limit than its mask; "
                "in shared passes its long texts would be different. To run it, "
                f"{INSTEAD}"
            )


@contextmanager
def _shortened(config: object, bounds: dict[str, int]) -> Iterator[None]:
    for name in bounds:
        setattr(config, name, _SHORT)
    try:
        yield
    finally:
        for name, bound in bounds.items():
            setattr(config, name, bound)


def _noting_attention(  # noqa: PLR0913  # the signature is transformers'
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    notes: _Notes,
    sliding_window: int | None = None,
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Note what a layer is shown; return zeros, `(1, T, Hq, Dv)`."""
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # set by every transformers attention
    place = torch.arange(_TOKENS, device=query.device)
    back = place[:, None] - place[None, :]
    seen = (back >= 0) if attention_mask is None else attention_mask[0, 0, :, :_TOKENS] == 0
    notes.is_plain[layer] = bool((seen == (back >= 0)).all())
    notes.is_window[layer] = bool((seen == ((back >= 0) & (back < _SHORT))).all())
    notes.windows[layer] = sliding_window
    return value.new_zeros(1, _TOKENS, query.shape[1], value.shape[3]), None


AttentionInterface.register(_NOTING, _noting_attention)
AttentionMaskInterface.register(_NOTING, eager_mask)
