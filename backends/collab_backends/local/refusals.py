"""Architectures that would run wrongly in shared passes, refused by what they say of themselves."""

import json
from pathlib import Path

from transformers import PretrainedConfig, PreTrainedModel

from collab.errors import ModelLoadError

INSTEAD = "set engine: generic, which computes one text after another, or serve it remotely"
"""What to do with a model that cannot share passes, for errors."""

_MOST_LAYERS = 2_000
"""More than any model has; building them takes memory and time before anything is found wrong."""

_LAYER_COUNTS = frozenset({"num_hidden_layers", "num_layers", "n_layer", "n_layers"})
_KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention"})
_BATCH_DEPENDENT_ROPE = frozenset({"dynamic", "longrope"})


def refuse_endless(place: str, reference: str) -> None:
    """Refuse a folder whose configuration names more layers than could ever be built.

    Even a configuration of so many takes long to make. What cannot be read is told when it is.

    Raises:
        ModelLoadError: It does.
    """
    try:
        values = json.loads(Path(place, "config.json").read_bytes())
    except (OSError, ValueError):
        return
    if not isinstance(values, dict):
        return
    for part in (values, *(one for one in values.values() if isinstance(one, dict))):
        for key in _LAYER_COUNTS & set(part):
            count = part[key]
            if isinstance(count, int) and count > _MOST_LAYERS:
                raise ModelLoadError(
                    f"the configuration of {reference!r} names {count:,} layers ({key}), and no "
                    f"model has more than {_MOST_LAYERS:,}; correct its config.json"
                )


def refuse_encoder(config: PretrainedConfig, reference: str) -> None:
    """Refuse what is no decoder.

    Raises:
        ModelLoadError: It is an encoder-decoder.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise ModelLoadError(f"{reference!r} is an encoder-decoder; a decoder-only model is needed")


def refuse_unsupported(config: PretrainedConfig, reference: str) -> None:
    """Refuse by name what would share passes and give wrong output without an error.

    Raises:
        ModelLoadError: It has layers or positions of such a kind.
    """
    refuse_encoder(config, reference)
    text_config = config.get_text_config()
    layers = set(getattr(text_config, "layer_types", None) or ()) - _KNOWN_LAYERS
    if layers:
        raise ModelLoadError(
            f"{reference!r} has layers of type {', '.join(sorted(layers))}; texts can share passes "
            f"through full and sliding attention only. To run it, {INSTEAD}"
        )
    rope = getattr(text_config, "rope_parameters", None) or {}
    parts = [rope] if "rope_type" in rope else [p for p in rope.values() if isinstance(p, dict)]
    # With a fixed `alpha`, positions are stretched by the same for every text; whether the model's
    # code knows that, its modules say.
    _refuse_ropes({part.get("rope_type") for part in parts if not part.get("alpha")}, reference)


def refuse_unsupported_modules(model: PreTrainedModel, reference: str) -> None:
    """Refuse what only the loaded modules tell.

    Raises:
        ModelLoadError: It does not take our attention, or has positions of such a kind.
    """
    if not model._supports_attention_backend:
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) does not take attention backends from "
            f"outside and would give wrong output; use another model, or {INSTEAD}"
        )
    for module in model.modules():
        kind = getattr(module, "rope_type", None)
        _refuse_ropes(set(kind.values()) if isinstance(kind, dict) else {kind}, reference)


def _refuse_ropes(kinds: set[object], reference: str) -> None:
    if bad := kinds & _BATCH_DEPENDENT_ROPE:
        raise ModelLoadError(
            f"{reference!r} scales positions by the longest text of the batch "
            f"({', '.join(sorted(map(str, bad)))}); the local backend cannot share its passes. "
            f"To run it, {INSTEAD}"
        )
