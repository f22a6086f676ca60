"""The backend `local`: a transformers model in this process.

Its options are checked without torch, which takes seconds to import; `connect` imports it.
"""

import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Literal

import anyio
from pydantic import Field

from collab.errors import BrokenPluginError
from collab.seam import Backend, Model

for _name in ("torch", "transformers", "safetensors"):
    if importlib.util.find_spec(_name) is None:  # said when the backend is named, not later
        raise ModuleNotFoundError(f"No module named {_name!r}", name=_name)


class LocalTorch(Backend):
    """A model folder or hub id, run by torch and transformers in this process."""

    model: str = Field(description="Folder, GGUF file, hub id, or `lab/generator`, `lab/mentor`.")
    tokenizer: str | None = Field(
        default=None, description="Folder, GGUF file or hub id, if it is not with the model."
    )
    name: str = Field(default="", description="Name in ledgers; by default the model's own.")
    device: str = Field(default="auto", description="`auto` is cuda if there is one, else cpu.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="`auto`: the checkpoint's own on cuda, float32 on cpu."
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of one forward pass; torch's own by default."
    )
    chunk_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Prompt tokens fed in one step; 512, or 2048 over pages on cuda.",
    )
    max_context_tokens: int | None = Field(
        default=None, ge=2, description="Longest text; the model's own limit by default."
    )
    cache_gib: float | None = Field(
        default=None, gt=0, description="Memory for KV caches; half of what is free by default."
    )
    device_map: str | dict[str, str | int] | None = Field(
        default=None,
        description="Instead of one device: `auto` spreads the model over all, or by part; needs "
        "accelerate.",
    )
    engine: Literal["auto", "packed", "paged", "generic"] = Field(
        default="auto",
        description="`auto` is `paged` on cuda, where the model's attention allows it, else "
        "`packed`. `generic` computes one text after another with the model's own attention "
        "and cache: slow, for models that cannot share passes.",
    )
    compile: Literal["auto"] | bool = Field(
        default="auto", description="Compile decoder layers, with `paged`; `auto` does on cuda."
    )
    warm_up: bool = Field(
        default=False, description="Compile and capture before the first text, with `paged`."
    )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        """Load the model and start its engine; leaving stops the engine and frees the model."""
        local = await anyio.to_thread.run_sync(_local_models)
        load = partial(
            local.load_model,
            self.model,
            self.device,
            self.dtype,
            local.LoadOptions(
                max_context_tokens=self.max_context_tokens,
                device_map=self.device_map,
                cache_gib=self.cache_gib,
                tokenizer=self.tokenizer,
                engine=local.EngineOptions(
                    engine=self.engine,
                    compiles=None if self.compile == "auto" else self.compile,
                    warms_up=self.warm_up,
                ),
            ),
        )
        loaded = await anyio.to_thread.run_sync(load)
        serve = partial(
            local.LocalModel,
            self.name or self.model,
            loaded,
            chunk_tokens=self.chunk_tokens,
            threads=self.threads,
        )
        # Making an engine may compile and capture.
        model = await anyio.to_thread.run_sync(serve)
        async with model.serving():
            yield model


def _local_models() -> ModuleType:
    """Import what loads and runs models.

    Raises:
        BrokenPluginError: One of the packages is there and cannot be imported.
    """
    try:
        return importlib.import_module("collab_backends.local.model")
    except Exception as error:
        raise BrokenPluginError(
            f"backend 'local' cannot be imported: {type(error).__name__}: {error}"
        ) from error
