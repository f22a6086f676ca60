"""Loading a model and making it ready for an engine."""

from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from collab.errors import ModelLoadError
from collab_backends.local.attention import BACKEND_NAME
from collab_backends.local.checkpoints import load_weights, open_checkpoint
from collab_backends.local.engines import AUTO_ENGINE, EngineOptions
from collab_backends.local.free_memory import free_memory
from collab_backends.local.generic_probe import OwnCacheFacts, probe_own_cache
from collab_backends.local.placement import find_device, layer_shares
from collab_backends.local.probe import probe
from collab_backends.local.quantised import ensure_quantisation_runs
from collab_backends.local.refusals import (
    INSTEAD,
    refuse_encoder,
    refuse_unsupported,
    refuse_unsupported_modules,
)
from collab_backends.local.steering import blocks_of
from collab_backends.tokenizing.sources import load_tokenizer

_FREE_SHARE = 0.5
"""Share of the free memory that caches may take: activations and other models need some too."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        max_context_tokens: Bound on the context, if smaller than the model's own.
        device_map: How to spread the model over several devices, such as `auto`, instead of
            putting it on one.
        cache_gib: Memory for caches; by default half of what is free.
        tokenizer: Where the tokenizer is, if not with the model.
        engine: What is asked of its engine.
    """

    max_context_tokens: int | None = None
    device_map: str | dict[str, str | int] | None = None
    cache_gib: float | None = None
    tokenizer: str | None = None
    engine: EngineOptions = AUTO_ENGINE


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
        remarks: What is worth knowing of it.
        options: What is asked of its engine.
        own_cache: What is known of its own cache, if the engine `generic` is to use that.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    end_ids: frozenset[int]
    context_tokens: int
    vocabulary: int
    embedding_rows: int
    token_bytes: int
    cache_tokens: int
    remarks: tuple[str, ...] = ()
    options: EngineOptions = AUTO_ENGINE
    own_cache: OwnCacheFacts | None = None


def load_model(
    reference: str, device: str, dtype: str, options: LoadOptions = LoadOptions()
) -> LoadedModel:
    """Load weights and tokenizer.

    Args:
        reference: A folder, a GGUF file, a hub id, or `lab/NAME` for a model of the shipped pair.
        device: A torch device, or `auto`.
        dtype: A torch dtype's name, or `auto`.
        options: What is special about it.

    Raises:
        ModelLoadError: There is no such model, something is missing from it, or its
            architecture would run wrongly here.
    """
    where = find_device(device)
    checkpoint = open_checkpoint(reference)
    is_alone = options.engine.engine == "generic"
    refuse = refuse_encoder if is_alone else refuse_unsupported
    refuse(checkpoint.config, reference)
    ensure_quantisation_runs(checkpoint.config, reference, where)
    tokenizer = load_tokenizer(options.tokenizer or reference)
    model, remark = load_weights(
        checkpoint,
        where,
        dtype,
        device_map=options.device_map,
        attention=None if is_alone else BACKEND_NAME,
    )
    loaded = prepare(
        model,
        tokenizer,
        reference,
        options.max_context_tokens,
        cache_gib=options.cache_gib,
        options=options.engine,
    )
    return replace(loaded, remarks=(*loaded.remarks, remark)) if remark else loaded


def prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    reference: str,
    max_context_tokens: int | None = None,
    *,
    cache_gib: float | None = None,
    options: EngineOptions = AUTO_ENGINE,
) -> LoadedModel:
    """Make a model that is in memory ready for an engine.

    With another engine than `generic`, it uses our attention from now on.

    Raises:
        ModelLoadError: Its architecture would run wrongly here.
    """
    model.train(mode=False)
    facts = None
    if options.engine == "generic":
        refuse_encoder(model.config, reference)
        facts = _probe_own_cache(model, reference)
        token_bytes = facts.token_bytes
    else:
        refuse_unsupported(model.config, reference)
        refuse_unsupported_modules(model, reference)
        token_bytes = _probe_packed(model, reference)
    limit = _longest_text(model, is_alone=facts is not None)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        end_ids=_end_ids(model, tokenizer),
        context_tokens=min(limit, max_context_tokens or limit),
        vocabulary=int(model.config.get_text_config().vocab_size),
        embedding_rows=_embedding_rows(model),
        token_bytes=token_bytes,
        cache_tokens=_cache_tokens(model, token_bytes, cache_gib),
        options=options,
        own_cache=facts,
    )


def _probe_packed(model: PreTrainedModel, reference: str) -> int:
    try:
        return probe(model, reference)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) cannot be run by the local engine: "
            f"{_reason(error)}; {INSTEAD}"
        ) from error


def _probe_own_cache(model: PreTrainedModel, reference: str) -> OwnCacheFacts:
    try:
        return probe_own_cache(model, reference)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) cannot be run by the local engine, also not "
            f"one text after another: {type(error).__name__}: {error}; serve it remotely instead"
        ) from error


def _longest_text(model: PreTrainedModel, *, is_alone: bool) -> int:
    """Return the longest text that the model writes as it should.

    Beyond its original context, `longrope` makes a model recompute what it has read.
    """
    config = model.config.get_text_config()
    limit = int(getattr(config, "max_position_embeddings", 0) or 4096)
    rope = getattr(config, "rope_parameters", None) or {}
    if is_alone and rope.get("rope_type") == "longrope":
        limit = int(rope.get("original_max_position_embeddings") or limit)
    return limit


def _reason(error: Exception) -> str:
    """Return why a model cannot be run, in words about the model; the error itself is the cause."""
    if isinstance(error, NotImplementedError):
        return str(error)
    if isinstance(error, TypeError):
        return "its layers do not pass on what an attention backend is given"
    return "its code takes no row in which several texts stand one after another"


def _cache_tokens(model: PreTrainedModel, token_bytes: int, cache_gib: float | None) -> int:
    """Return how many tokens fit, on the device where the fewest do."""
    if cache_gib:
        return max(int(cache_gib * 2**30) // max(token_bytes, 1), 1)
    return min(
        max(int(_FREE_SHARE * free_memory(device) / max(token_bytes * share, 1)), 1)
        for device, share in layer_shares(model, blocks_of(model)).items()
    )


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
