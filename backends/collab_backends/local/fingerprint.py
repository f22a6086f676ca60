"""The fingerprint of a model: whether two are the same, without reading all of them."""

import hashlib
import json

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
    same fingerprint in float32. Names of parameters are left out, as they change between versions
    of transformers. Weights that are not in memory (offloaded to disk) count by their shape alone.
    """
    config = model.config.get_text_config()
    settings = {name: getattr(config, name, None) for name in _SETTINGS}
    parts = sorted(_part(one) for one in model.parameters())
    told = json.dumps([settings, parts], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@torch.no_grad()
def _part(weights: torch.Tensor) -> str:
    shape = "x".join(map(str, weights.shape))
    if weights.is_meta or not weights.numel():
        return shape
    flat = weights.detach().reshape(-1)
    places = torch.linspace(0, len(flat) - 1, min(SAMPLED, len(flat)), dtype=torch.float64)
    read = flat[places.long().to(flat.device)].to("cpu", torch.bfloat16)
    return f"{shape}:{read.view(torch.int16).numpy().tobytes().hex()}"
