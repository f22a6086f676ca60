"""Models from GGUF files. transformers reads them; what it leaves out is added here, or refused."""

import struct
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)

from collab.errors import ModelLoadError
from collab.telemetry.events import log_event
from collab_backends.local.extras import ensure_installed
from collab_backends.local.free_memory import free_memory
from collab_backends.local.gguf_files import GgufFile, GgufTensor, served
from collab_backends.tokenizing.sources import from_pretrained

_MIB = 2**20

_ROPE_FREQUENCIES = "rope_freqs.weight"
"""By what Llama 3.1 and later divide the frequencies of their positions."""

_NOT_WEIGHTS = (_ROPE_FREQUENCIES, ".nextn.", "attn_rot_embd")
"""Parts of names of tensors that a causal model does without, or that are handled here."""

_ENTRY_BYTES = 1_500
"""Memory that transformers takes to read one entry of a list, such as a token of the vocabulary."""

_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")


def gguf_dtype(found: GgufFile, device: torch.device) -> torch.dtype:
    """Return what `auto` is: the file's own type on cuda, bfloat16 where it is quantised."""
    if device.type == "cpu":
        return torch.float32
    own: torch.dtype = getattr(torch, found.float_type or "bfloat16")
    return own


def load_gguf_config(found: GgufFile, reference: str) -> PretrainedConfig:
    """Return the configuration that a file's metadata stands for.

    Raises:
        ModelLoadError: transformers does not know the architecture, or how its positions are
            scaled.
    """
    place, name = str(found.path.parent), found.path.name
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(place, gguf_file=name)
    except Exception as error:  # each architecture's reader raises errors of its own
        raise ModelLoadError(
            f"{reference!r} is a GGUF file of the architecture {found.architecture!r}, which "
            f"transformers {transformers.__version__} does not read "
            f"({_first_line(error)}); serve it with {served(found.path)}"
        ) from error
    scaling = found.stated("rope.scaling.type")
    if scaling not in (None, "none") and found.stated("rope.scaling.factor") != 1.0:
        raise ModelLoadError(
            f"{reference!r} scales positions ({scaling!r}), and transformers does not read that "
            f"from a GGUF file; serve it with {served(found.path)}"
        )
    window = found.stated("attention.sliding_window")
    if window and getattr(config, "sliding_window", window) is None:
        config.sliding_window = window
    return config


def load_gguf_weights(
    found: GgufFile, reference: str, config: PretrainedConfig, **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the model with its weights dequantised, and what transformers tells of loading it.

    Args:
        found: The file.
        reference: What the user wrote, for errors.
        config: See `load_gguf_config`.
        options: Passed to transformers; includes `dtype`.

    Raises:
        ModelLoadError: accelerate is missing, the weights cannot be read, or the model does not
            take all of them.
    """
    ensure_installed("accelerate", extra="gguf", why=f"to load the GGUF file {str(found.path)!r}")
    if packed := getattr(transformers, "GgufConfig", None):
        options["quantization_config"] = packed(dequantize=True)
    model, info = from_pretrained(
        AutoModelForCausalLM,
        str(found.path.parent),
        reference,
        "weights",
        gguf_file=found.path.name,
        config=config,
        output_loading_info=True,
        **options,
    )
    _ensure_all_taken(found, model, reference)
    _scale_positions(found, model)
    ends = {found.metadata.get(f"tokenizer.ggml.{key}") for key in _END_KEYS} - {None}
    model.generation_config.eos_token_id = sorted(int(str(one)) for one in ends) or None
    log_event(
        "weights.dequantised",
        file=found.path.name,
        file_bytes=found.nbytes,
        weight_bytes=weight_bytes(model),
        dtype=_name(model.dtype),
    )
    return model, info


def dequantised_remark(found: GgufFile, model: PreTrainedModel) -> str:
    """Return what a diagnosis says of the weights."""
    return (
        f"weights dequantised from {found.path.name}: {found.nbytes / _MIB:,.0f} MiB in the file, "
        f"{weight_bytes(model) / _MIB:,.0f} MiB of {_name(model.dtype)} in memory"
    )


def ensure_memory(
    found: GgufFile, reference: str, dtype: torch.dtype | None, device: torch.device
) -> None:
    """Refuse a file whose dequantised weights do not fit.

    They are made in the machine's memory, wherever they go afterwards. The largest tensor stands
    there twice in float32 while it is converted.

    Raises:
        ModelLoadError: They do not fit, neither there nor on the device.
    """
    dtype = dtype or gguf_dtype(found, device)
    weights = found.numbers * dtype.itemsize
    largest = max((tensor.numbers for tensor in found.tensors), default=0)
    machine = torch.device("cpu")
    needs = {machine: weights + 2 * 4 * largest + _ENTRY_BYTES * found.entries}
    needs.setdefault(device, weights)
    for place, needed in needs.items():
        if needed > (free := free_memory(place)):
            smaller = " load it with dtype bfloat16, or" if dtype == torch.float32 else ""
            raise ModelLoadError(
                f"{reference!r} takes {found.nbytes / _MIB:,.0f} MiB as a file and, dequantised to "
                f"{_name(dtype)}, {needed / _MIB:,.0f} MiB of memory; {free / _MIB:,.0f} MiB are "
                f"free on {place};{smaller} serve it with {served(found.path)}"
            )


def weight_bytes(model: PreTrainedModel) -> int:
    """Return the memory that a model's weights take."""
    return sum(one.nbytes for one in model.parameters())


def _ensure_all_taken(found: GgufFile, model: PreTrainedModel, reference: str) -> None:
    """Refuse a model that has no place for some of the file's weights.

    transformers passes over tensors that it does not know, such as biases that its architecture
    lacks, without a word.
    """
    weights = [one for one in found.tensors if not any(part in one.name for part in _NOT_WEIGHTS)]
    held = sum(one.numel() for one in model.state_dict().values()) - _tied_numbers(model)
    left_out = sum(one.numbers for one in weights) - held
    if left_out > 0:
        raise ModelLoadError(
            f"{reference!r} holds {left_out:,} numbers that transformers' {type(model).__name__} "
            f"has no place for; it would write other texts than the file's model. Serve it "
            f"with {served(found.path)}"
        )


def _tied_numbers(model: PreTrainedModel) -> int:
    """Return how many numbers the state has twice, since the head is the embedding."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embedding.weight:
        return 0
    return int(head.weight.numel())  # type: ignore[operator]  # a matrix


def _scale_positions(found: GgufFile, model: PreTrainedModel) -> None:
    """Divide the frequencies of positions by those in the file, which transformers leaves out."""
    for tensor in found.tensors:
        if tensor.name == _ROPE_FREQUENCIES:
            factors = _floats(found, tensor)
            for module in model.modules():
                if isinstance(frequencies := getattr(module, "inv_freq", None), torch.Tensor):
                    module.inv_freq = frequencies / factors.to(frequencies)


def _floats(found: GgufFile, tensor: GgufTensor) -> torch.Tensor:
    with found.path.open("rb") as file:
        file.seek(tensor.offset)
        return torch.tensor(struct.unpack(f"<{tensor.numbers}f", file.read(4 * tensor.numbers)))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
