"""Checkpoints with quantised weights: what transformers can load here passes, the rest is refused.

transformers puts the layers of a quantised model in place itself, on its device and in its dtypes;
nothing is cast or moved afterwards.
"""

import copy
import importlib.util
from collections.abc import Mapping

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.quantizers.auto import AutoHfQuantizer

from collab.errors import ModelLoadError


def quantisation(config: PretrainedConfig) -> str:
    """Return the name of the method that a checkpoint is quantised with; empty if it is not."""
    return _method(_settings(config))


def ensure_quantisation_runs(
    config: PretrainedConfig, reference: str, device: torch.device
) -> None:
    """Refuse a method that transformers does not know, or that cannot run here.

    Raises:
        ModelLoadError: The message says which package or device is missing.
    """
    settings = _settings(config)
    method = _method(settings)
    if not method:
        return
    is_named = method == "bitsandbytes" or "quant_method" in settings
    if not is_named or not AutoHfQuantizer.supports_quant_method(settings):
        raise ModelLoadError(
            f"{reference!r} is quantised with {method!r}, which transformers "
            f"{transformers.__version__} does not know; take the checkpoint in another format, or "
            "serve it remotely"
        )
    try:
        quantizer = AutoHfQuantizer.from_config(copy.deepcopy(dict(settings)), pre_quantized=True)
        quantizer.validate_environment(device_map={"": str(device)}, weights_only=True)
    except Exception as error:  # each method raises errors of its own
        reason = (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")
        raise ModelLoadError(
            f"{reference!r} is quantised with {method!r}, which cannot run on {device} here: "
            f"{reason}; add what is missing, take the checkpoint in another format, or serve it "
            "remotely"
        ) from error


def quantised_device_map(device: torch.device) -> dict[str, str | int] | None:
    """Return what has transformers load a quantised model where it is to run.

    Without accelerate there is no such thing; then it has to be moved.
    """
    return {"": str(device)} if importlib.util.find_spec("accelerate") else None


def quantised_remark(model: PreTrainedModel, method: str) -> str:
    """Return what a diagnosis says of the weights."""
    how = "quantised with" if getattr(model, "is_quantized", False) else "dequantised from"
    return f"weights {how} {method}"


def _settings(config: PretrainedConfig) -> Mapping[str, object]:
    found = getattr(config, "quantization_config", None) or getattr(
        config.get_text_config(), "quantization_config", None
    )
    if found is None or isinstance(found, Mapping):
        return found or {}
    described: Mapping[str, object] = found.to_dict()
    return described


def _method(settings: Mapping[str, object]) -> str:
    if settings.get("load_in_8bit") or settings.get("load_in_4bit"):
        return "bitsandbytes"
    if not settings:
        return ""
    named = settings.get("quant_method", "a method without a name")
    return str(getattr(named, "value", named))
