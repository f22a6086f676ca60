"""A checkpoint: its configuration first, and its weights once nothing speaks against them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from collab.errors import ModelLoadError
from collab.telemetry.events import log_event
from collab_backends.local.extras import ensure_installed
from collab_backends.local.free_memory import free_memory
from collab_backends.local.gguf_files import GgufFile, read_gguf
from collab_backends.local.gguf_models import (
    dequantised_remark,
    ensure_memory,
    gguf_dtype,
    load_gguf_config,
    load_gguf_weights,
)
from collab_backends.local.quantised import quantisation, quantised_device_map, quantised_remark
from collab_backends.local.refusals import refuse_endless
from collab_backends.tokenizing.sources import find_gguf, from_pretrained, resolve


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model whose weights are not loaded yet.

    Attributes:
        reference: What the user wrote.
        place: A folder or hub id.
        gguf: The file, if it is one.
        config: Its configuration.
    """

    reference: str
    place: str
    gguf: GgufFile | None
    config: PretrainedConfig


def open_checkpoint(reference: str) -> Checkpoint:
    """Return what is known of a checkpoint without its weights.

    Raises:
        ModelLoadError: There is none, or its configuration cannot be read.
    """
    if path := find_gguf(reference):
        gguf = read_gguf(path)
        return Checkpoint(reference, str(path.parent), gguf, load_gguf_config(gguf, reference))
    place = resolve(reference)
    refuse_endless(place, reference)
    config = from_pretrained(AutoConfig, place, reference, "configuration")
    return Checkpoint(reference, place, None, config)


def load_weights(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: str,
    *,
    device_map: str | dict[str, str | int] | None,
    attention: str | None,
) -> tuple[PreTrainedModel, str]:
    """Return the model where it is to run, and what is worth knowing of its weights.

    Args:
        checkpoint: The checkpoint.
        device: Where it is to run, if it is not spread.
        dtype: A torch dtype's name, or `auto`.
        device_map: How to spread it.
        attention: The attention that it is to use; `None` for its own.

    Raises:
        ModelLoadError: Weights are missing or damaged, there is no memory for them, or no
            accelerate to spread them.
    """
    gguf, reference = checkpoint.gguf, checkpoint.reference
    chosen = chosen_dtype(dtype, device, checkpoint)
    if device_map is not None:
        ensure_installed("accelerate", extra="accelerate", why="to spread a model (device_map)")
    method = quantisation(checkpoint.config)
    if device_map is None and method:
        device_map = quantised_device_map(device)
    told: dict[str, Any] = {"dtype": chosen, "device_map": device_map}
    if attention is not None:
        told["attn_implementation"] = attention
    with _no_progress_bars():
        if gguf is not None:
            on = device if device_map is None else torch.device("cpu")
            ensure_memory(gguf, reference, chosen, on)
            model, info = load_gguf_weights(gguf, reference, checkpoint.config, **told)
        else:
            model, info = from_pretrained(
                AutoModelForCausalLM,
                checkpoint.place,
                reference,
                "weights",
                output_loading_info=True,
                **told,
            )
    if missing := sorted(info["missing_keys"]):
        raise ModelLoadError(
            f"cannot load the weights of {reference!r}: {len(missing)} are missing, such as "
            f"{missing[0]!r}; its configuration and its files do not belong together"
        )
    if device_map is None:
        model = _moved(model, device, reference)
    if gguf is not None:
        return model, dequantised_remark(gguf, model)
    return model, quantised_remark(model, method) if method else ""


def chosen_dtype(dtype: str, device: torch.device, checkpoint: Checkpoint) -> torch.dtype | None:
    """Return the dtype to load; `None` for the checkpoint's own.

    Raises:
        ModelLoadError: bfloat16 is asked for, and the device does not compute in it.
    """
    if dtype != "auto":
        found: torch.dtype = getattr(torch, dtype)
        if found is torch.bfloat16 and not _has_bfloat16(device):
            raise ModelLoadError(
                f"{torch.cuda.get_device_name(device)} does not compute in bfloat16; use dtype "
                "float16 or float32"
            )
        return found
    if checkpoint.gguf is not None:
        own: torch.dtype | None = gguf_dtype(checkpoint.gguf, device)
    else:
        own = torch.float32 if device.type == "cpu" else None
    stored = own or getattr(checkpoint.config, "dtype", None)
    if stored is torch.bfloat16 and not _has_bfloat16(device):
        log_event("model.no_bfloat16", model=checkpoint.reference, dtype="float32")
        return torch.float32
    return own


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)


def _moved(model: PreTrainedModel, device: torch.device, reference: str) -> PreTrainedModel:
    try:
        moved: PreTrainedModel = torch.nn.Module.to(model, device)
    except torch.OutOfMemoryError as error:
        wanted = sum(weights.nbytes for weights in model.parameters()) / 2**30
        raise ModelLoadError(
            f"the weights of {reference!r} take {wanted:.1f} GiB in "
            f"{str(model.dtype).removeprefix('torch.')}, and {device} has "
            f"{free_memory(device) / 2**30:.1f} GiB free; use a smaller dtype or model, a "
            "quantised one, or device_map auto"
        ) from error
    return moved


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
