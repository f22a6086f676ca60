"""Loading a model folder or hub id, and refusing what the engine would run wrongly."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from collab.errors import ModelLoadError
from collab_backends.local.attention import BACKEND_NAME
from collab_backends.local.engines import AUTO_ENGINE, EngineOptions
from collab_backends.local.probe import probe
from collab_backends.local.sources import from_pretrained, load_tokenizer, resolve

_FREE_SHARE = 0.5
"""Share of the free memory that caches may take: activations and other models need some too."""

_MOST_LAYERS = 2_000
"""More than any model has; building them takes memory and time before anything is found wrong."""

_LAYER_COUNTS = frozenset({"num_hidden_layers", "num_layers", "n_layer", "n_layers"})
_KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention"})
_BATCH_DEPENDENT_ROPE = frozenset({"dynamic", "longrope"})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What an engine and its sessions need of a checkpoint.

    Attributes:
        model: On its device, with our attention.
        tokenizer: Its tokenizer.
        end_ids: Tokens that end a text.
        context_tokens: Longest text.
        vocabulary: Width of the logits.
        embedding_rows: Ids from here on cannot be fed.
        token_bytes: Memory of one token in a KV cache, as measured.
        cache_tokens: Tokens that all caches together may hold.
        options: What is asked of its engine.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    end_ids: frozenset[int]
    context_tokens: int
    vocabulary: int
    embedding_rows: int
    token_bytes: int
    cache_tokens: int
    options: EngineOptions = AUTO_ENGINE


def load_model(  # noqa: PLR0913  # what can be said of a checkpoint
    reference: str,
    device: str,
    dtype: str,
    max_context_tokens: int | None = None,
    *,
    device_map: str | None = None,
    cache_gib: float | None = None,
    options: EngineOptions = AUTO_ENGINE,
) -> LoadedModel:
    """Load weights and tokenizer.

    Args:
        reference: A folder, a hub id, or `lab/NAME` for a model of the shipped pair.
        device: A torch device, or `auto`.
        dtype: A torch dtype's name, or `auto`.
        max_context_tokens: Bound on the context, if smaller than the model's own.
        device_map: How to spread the model over several devices, such as `auto`, instead of
            putting it on one; needs the package accelerate.
        cache_gib: Memory for KV caches; by default what `free_memory` finds.
        options: What is asked of its engine.

    Raises:
        ModelLoadError: There is no such model, something is missing from it, or its
            architecture would run wrongly here.
    """
    place = resolve(reference)
    where = _device(device)
    _refuse_endless(place, reference)
    config = from_pretrained(AutoConfig, place, reference, "configuration")
    _refuse_unsupported(config, reference)
    tokenizer = load_tokenizer(reference)
    with _no_progress_bars():
        model, info = from_pretrained(
            AutoModelForCausalLM,
            place,
            reference,
            "weights",
            dtype=_dtype(dtype, where),
            attn_implementation=BACKEND_NAME,
            device_map=device_map,
            output_loading_info=True,
        )
    if missing := sorted(info["missing_keys"]):
        raise ModelLoadError(
            f"cannot load the weights of {reference!r}: {len(missing)} are missing, such as "
            f"{missing[0]!r}; its configuration and its files do not belong together"
        )
    if device_map is None:
        model = model.to(where)
    return prepare(
        model, tokenizer, reference, max_context_tokens, cache_gib=cache_gib, options=options
    )


def prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    reference: str,
    max_context_tokens: int | None = None,
    *,
    cache_gib: float | None = None,
    options: EngineOptions = AUTO_ENGINE,
) -> LoadedModel:
    """Make a model that is in memory ready for the engine; it uses our attention from now on.

    Raises:
        ModelLoadError: Its architecture would run wrongly here.
    """
    if not model._supports_attention_backend:
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) does not take attention backends from "
            "outside and would give wrong output; use another model, or serve it remotely"
        )
    _refuse_unsupported(model.config, reference)
    _refuse_unsupported_modules(model, reference)
    model.train(mode=False)
    try:
        token_bytes = probe(model, reference)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) cannot be run by the local engine: "
            f"{_reason(error)}; serve it remotely instead"
        ) from error
    text_config = model.config.get_text_config()
    limit = int(getattr(text_config, "max_position_embeddings", 0) or 4096)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        end_ids=_end_ids(model, tokenizer),
        context_tokens=min(limit, max_context_tokens or limit),
        vocabulary=int(text_config.vocab_size),
        embedding_rows=_embedding_rows(model),
        token_bytes=token_bytes,
        cache_tokens=_cache_tokens(model.device, token_bytes, cache_gib),
        options=options,
    )


def _reason(error: Exception) -> str:
    """Return why a model cannot be run, in words about the model; the error itself is the cause."""
    if isinstance(error, NotImplementedError):
        return str(error)
    if isinstance(error, TypeError):
        return "its layers do not pass on what an attention backend is given"
    return "its code takes no row in which several texts stand one after another"


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _device(device: str) -> torch.device:
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


def _dtype(dtype: str, device: torch.device) -> torch.dtype | str:
    if dtype != "auto":
        found: torch.dtype = getattr(torch, dtype)
        return found
    return torch.float32 if device.type == "cpu" else "auto"


def _refuse_endless(place: str, reference: str) -> None:
    """Refuse a folder whose configuration names more layers than could ever be built.

    Even a configuration of so many takes long to make. What cannot be read is told when it is.
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


def _refuse_unsupported(config: PretrainedConfig, reference: str) -> None:
    """Refuse by name what would run and give wrong output without an error."""
    text_config = config.get_text_config()
    layers = set(getattr(text_config, "layer_types", None) or ()) - _KNOWN_LAYERS
    if layers:
        raise ModelLoadError(
            f"{reference!r} has layers of type {', '.join(sorted(layers))}; the local backend "
            "runs full and sliding attention only. Serve it remotely instead"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelLoadError(f"{reference!r} is an encoder-decoder; a decoder-only model is needed")
    rope = getattr(text_config, "rope_parameters", None) or {}
    parts = [rope] if "rope_type" in rope else [p for p in rope.values() if isinstance(p, dict)]
    # With a fixed `alpha`, positions are stretched by the same for every text; whether the model's
    # code knows that, its modules say.
    _refuse_ropes({part.get("rope_type") for part in parts if not part.get("alpha")}, reference)


def _refuse_unsupported_modules(model: PreTrainedModel, reference: str) -> None:
    """Refuse what only the loaded modules tell."""
    for module in model.modules():
        kind = getattr(module, "rope_type", None)
        _refuse_ropes(set(kind.values()) if isinstance(kind, dict) else {kind}, reference)


def _refuse_ropes(kinds: set[object], reference: str) -> None:
    if bad := kinds & _BATCH_DEPENDENT_ROPE:
        raise ModelLoadError(
            f"{reference!r} scales positions by the longest text of the batch "
            f"({', '.join(sorted(map(str, bad)))}); the local backend cannot share its passes"
        )


def _cache_tokens(device: torch.device, token_bytes: int, cache_gib: float | None) -> int:
    memory = int(cache_gib * 2**30) if cache_gib else int(_FREE_SHARE * free_memory(device))
    return max(memory // max(token_bytes, 1), 1)


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device now: its own, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _embedding_rows(model: PreTrainedModel) -> int:
    weights = model.get_input_embeddings().weight
    assert isinstance(weights, torch.Tensor), "every transformers embedding is a matrix"
    return weights.shape[0]


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Return the ids that end a text; checkpoints may list several."""
    config = getattr(model, "generation_config", None)
    found = getattr(config, "eos_token_id", None)
    if found is None:
        found = tokenizer.eos_token_id
    if found is None:
        return frozenset()
    return frozenset(found) if isinstance(found, list | tuple) else frozenset({int(found)})
