"""Writing a small Qwen3 checkpoint with wider attention heads that computes the same.

vLLM has no CPU kernels for heads as narrow as the lab's. Zeros are put behind every head; the norms
of queries and keys, which average over the head, and the attention's scale make up for it.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_HEADS = {
    "self_attn.q_proj": 0,
    "self_attn.k_proj": 0,
    "self_attn.v_proj": 0,
    "self_attn.o_proj": 1,
}
"""Weights of heads, and along which dimension the heads lie."""


def write_padded(folder: Path, target: Path, *, width: int = 32) -> None:
    """Write the checkpoint in `folder` to `target` with heads of `width`."""
    shutil.copytree(folder, target)
    config = json.loads((folder / "config.json").read_text())
    narrow = config["head_dim"]
    # Rotated are the same dimensions, by the same angles.
    config["rope_parameters"]["partial_rotary_factor"] = narrow / width
    config["head_dim"] = width
    (target / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    padded = {name: _padded(name, value.float(), narrow, width) for name, value in weights.items()}
    save_file(padded, target / "model.safetensors", metadata={"format": "pt"})


def _padded(name: str, value: torch.Tensor, narrow: int, width: int) -> torch.Tensor:
    part = name.removesuffix(".weight").split(".", 3)[-1]
    if part in _HEADS:
        axis = _HEADS[part]
        heads = value.reshape(*value.shape[:axis], -1, narrow, *value.shape[axis + 1 :])
        shape = list(heads.shape)
        shape[axis + 1] = width - narrow
        return torch.cat([heads, heads.new_zeros(shape)], axis + 1).flatten(axis, axis + 1)
    if part == "self_attn.q_norm":
        # What the norm gains, the attention's scale takes away.
        return torch.cat([value, value.new_zeros(width - narrow)])
    if part == "self_attn.k_norm":
        return torch.cat([value * (narrow / width) ** 0.5, value.new_zeros(width - narrow)])
    return value.contiguous()
