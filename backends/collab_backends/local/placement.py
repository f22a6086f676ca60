"""Where a model stands: one device, or several that accelerate moves hidden states between."""

from collections import Counter

import torch
from torch import nn
from transformers import PreTrainedModel

from collab.errors import ModelLoadError


def find_device(device: str) -> torch.device:
    """Return a device that can compute; `auto` is cuda where there is one, else the CPU.

    Raises:
        ModelLoadError: There is no such device here, or it cannot be used.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ModelLoadError(f"there is no device {device!r}; write auto, cpu or cuda:0") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ModelLoadError(
            f"there is no device {device!r}; CUDA devices here: {torch.cuda.device_count()}"
        )
    try:
        torch.ones(1, device=found).item()
    except Exception as error:  # each kind of device raises errors of its own
        raise ModelLoadError(f"the device {device!r} cannot be used here: {error}") from error
    return found


def is_spread(model: PreTrainedModel) -> bool:
    """Whether accelerate moves hidden states between the model's parts."""
    return getattr(model, "_hf_hook", None) is not None


def input_device(model: PreTrainedModel) -> torch.device:
    """Return where ids, positions and vectors for the model have to be, and where its logits are.

    Weights that stand on the disk between two passes say nothing of where they compute.
    """
    return _computing_device(model) or model.device


def kept_rows(model: PreTrainedModel, rows: list[int]) -> torch.Tensor | list[int]:
    """Return rows of logits to compute, as the model's forward takes them.

    accelerate moves every tensor that a model is given to its first device, but these rows index
    hidden states on its last. A list it leaves alone.
    """
    if is_spread(model):
        return rows
    return torch.tensor(rows, device=model.device, dtype=torch.long)


def layer_shares(model: PreTrainedModel, blocks: nn.ModuleList) -> dict[torch.device, float]:
    """Return by device which share of the blocks it computes, and so of every cache it holds."""
    counts = Counter(_computing_device(block) or model.device for block in blocks)
    return {device: count / len(blocks) for device, count in counts.items()}


def described(model: PreTrainedModel) -> str:
    """Return where the model stands, for people."""
    places = getattr(model, "hf_device_map", None) or {"": model.device}
    names = dict.fromkeys(
        f"cuda:{place}" if isinstance(place, int) else str(place) for place in places.values()
    )
    return " and ".join(names)


def _computing_device(module: nn.Module) -> torch.device | None:
    """Return the device that accelerate computes a module on; `None` if it leaves it alone."""
    found = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return None if found is None else torch.device(found)
