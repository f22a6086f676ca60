"""The fingerprint of a model: whether two are the same, without reading all of them."""

import hashlib
import json
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

SAMPLED = 64
"""Values read of each parameter, evenly spaced. Training touches all of them, so this tells even
two checkpoints of one run apart; a model of 100 billion parameters takes no longer than a small."""

_SETTINGS = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "rms_norm_eps",
    "sliding_window",
    "rope_parameters",
)
"""What changes hidden states and does not show in the weights."""


def fingerprint(model: PreTrainedModel) -> str:
    """Return 16 hexadecimal digits: the same for the same weights and settings.

    Whatever they were loaded as: values are compared as bfloat16, so a checkpoint in it has the
    same fingerprint in float32; quantised weights have another. Names of parameters are left out,
    as they change between versions of transformers. Weights that are not in memory (offloaded to
    disk) count by their shape alone.
    """
    config = model.config.get_text_config()
    settings = {name: getattr(config, name, None) for name in _SETTINGS}
    parts = sorted(part for one in _weights(model) for part in _parts(one))
    told = json.dumps([settings, parts], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _weights(model: PreTrainedModel) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    if getattr(model, "is_quantized", False):  # some methods keep packed weights as buffers
        yield from model.buffers()


@torch.no_grad()
def _parts(weights: torch.Tensor) -> list[str]:
    """Return what is read of a tensor, or of each one that a quantised tensor is made of."""
    held = weights.data
    if hasattr(held, "__tensor_flatten__"):
        names, _ = held.__tensor_flatten__()
        return [part for name in names for part in _parts(getattr(held, name))]
    return [_part(held)]


def _part(weights: torch.Tensor) -> str:
    shape = "x".join(map(str, weights.shape))
    if weights.is_meta or not weights.numel():
        return shape
    flat = weights.detach().reshape(-1)
    if flat.dtype.itemsize == 1:  # few operations take 8-bit floats
        flat = flat.view(torch.uint8)
    places = torch.linspace(0, len(flat) - 1, min(SAMPLED, len(flat)), dtype=torch.float64)
    read = flat[places.long().to(flat.device)].to("cpu", torch.bfloat16)
    return f"{shape}:{read.view(torch.int16).numpy().tobytes().hex()}"
