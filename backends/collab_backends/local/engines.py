"""Which way of computing a loaded model gets: packed rows, pages, or each text by itself."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from collab.errors import ModelLoadError
from collab.telemetry.events import log_event
from collab_backends.local.attention import BACKEND_NAME as PACKED
from collab_backends.local.generic import GenericPasses
from collab_backends.local.generic_probe import OwnCacheFacts
from collab_backends.local.packed import PackedPasses
from collab_backends.local.paged.attention import BACKEND_NAME as PAGED
from collab_backends.local.paged.check import check, sample
from collab_backends.local.paged.launching import Launcher, Settings
from collab_backends.local.paged.pages import PAGE_TOKENS, pages_of
from collab_backends.local.paged.passes import PagedPasses
from collab_backends.local.paged.pool import UnpageableError, measure
from collab_backends.local.passes import Passes
from collab_backends.local.steering import HiddenStates

EngineName = Literal["auto", "packed", "paged", "generic"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What is asked of an engine.

    Attributes:
        engine: `auto` takes pages on a CUDA device where the model's attention allows it;
            `generic` computes one text after another with the model's own attention and cache.
        compiles: Whether decoder layers are compiled; `None` does so on CUDA.
        has_graphs: Whether passes over pages are launched as CUDA graphs.
        decodes_ahead: Whether the device goes on before the host has read its last tokens.
        warms_up: Whether to capture and compile before the first text.
    """

    engine: EngineName = "auto"
    compiles: bool | None = None
    has_graphs: bool = True
    decodes_ahead: bool = True
    warms_up: bool = False


AUTO_ENGINE = EngineOptions()
"""What is asked of an engine where nothing is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bounds of a model's caches.

    Attributes:
        context_tokens: Longest text.
        cache_tokens: Tokens of all caches together.
        vocabulary: Width of the logits.
    """

    context_tokens: int
    cache_tokens: int
    vocabulary: int


def make_passes(
    model: PreTrainedModel,
    hidden: HiddenStates,
    sizes: Sizes,
    options: EngineOptions,
    *,
    own_cache: OwnCacheFacts | None = None,
) -> Passes:
    """Return how a model is computed.

    Args:
        model: The model.
        hidden: The hooks on its hidden states.
        sizes: Bounds of its caches.
        options: What is asked for.
        own_cache: What is known of its own cache, for `generic`.

    Raises:
        ModelLoadError: Pages were asked for and cannot be had.
    """
    if own_cache is not None:
        return GenericPasses(model, hidden, sizes.cache_tokens, own_cache)
    if tries_pages(model, options):
        try:
            return _paged(model, hidden, sizes, options)
        except UnpageableError as error:
            model.set_attn_implementation(PACKED)
            if options.engine == "paged":
                raise ModelLoadError(
                    f"{type(model).__name__} cannot be computed over pages: {error}; leave "
                    "`engine` out for the general path"
                ) from error
            log_event("engine.general_path", model=type(model).__name__, reason=str(error))
    return PackedPasses(model, hidden, sizes.cache_tokens)


def tries_pages(model: PreTrainedModel, options: EngineOptions) -> bool:
    """Whether pages are tried for a model: where asked for, and by default on CUDA."""
    return options.engine == "paged" or (options.engine == "auto" and model.device.type == "cuda")


def _paged(
    model: PreTrainedModel, hidden: HiddenStates, sizes: Sizes, options: EngineOptions
) -> PagedPasses:
    is_cuda = model.device.type == "cuda"
    if is_cuda and importlib.util.find_spec("triton") is None:
        raise UnpageableError("Triton is not installed, so its kernels cannot be compiled")
    if len({parameter.device for parameter in model.parameters()}) > 1:
        raise UnpageableError("it is spread over several devices")
    ids = sample(model, sizes.vocabulary)
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        plain = model(ids[None].to(model.device), use_cache=False).logits[0].float()
    shapes = measure(model)
    model.set_attn_implementation(PAGED)
    settings = Settings(
        pages=max(sizes.cache_tokens // PAGE_TOKENS, pages_of(len(ids))) + 1,
        most_tokens=max(sizes.context_tokens, len(ids)),
        has_graphs=options.has_graphs,
        compiles=is_cuda if options.compiles is None else options.compiles,
    )
    launcher = Launcher(model, hidden, shapes, settings)
    passes = PagedPasses(launcher, decodes_ahead=options.decodes_ahead)
    try:
        check(passes, plain, ids)
        if options.warms_up:
            with torch.inference_mode(), passes.working():
                launcher.warm_up()
    except BaseException as error:
        passes.close()
        if isinstance(error, ModelLoadError) or not isinstance(error, Exception):
            raise
        raise UnpageableError(f"a pass over pages failed: {error!r}") from error
    return passes
