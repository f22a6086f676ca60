"""The backend `openai`: a model behind a URL."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio.to_thread
from pydantic import ConfigDict, Field, JsonValue, ValidationInfo, field_validator

from collab.capabilities import Capabilities, PrefixMode
from collab.errors import ConfigError, ModelLoadError
from collab.seam import Backend, Model
from collab_backends.remote.asking import Terms
from collab_backends.remote.connections import (
    BEARER,
    Access,
    check_base_url,
    ensure_no_secret,
)
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.estimating import Estimates
from collab_backends.remote.failures import KEY_REFUSED, NOT_FOUND
from collab_backends.remote.faults import ServerBusyError, ServerUnreachableError
from collab_backends.remote.handshake import Handshake, Observed
from collab_backends.remote.hedging import Hedge
from collab_backends.remote.manners import ESSENTIAL, Manners
from collab_backends.remote.model import RemoteModel
from collab_backends.remote.patience import Patience

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec

Fields = TypeVar("Fields", tuple[str, ...], dict[str, str])

_NO_PATIENCE = Patience()
_SERVERS = ("vllm", "llamacpp", "sglang")
"""Programs that say who they are."""


class OpenAIServer(Backend):
    """A model behind a server that speaks the OpenAI protocol.

    What the server can do is observed by a few short calls when it is connected.
    """

    # What is given by mistake may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str = Field(min_length=1, description="The model, as the server calls it.")
    base_url: tuple[str, ...] = Field(
        description="With its version path: http://127.0.0.1:8000/v1; several serve one model."
    )
    name: str = Field(default="", description="Name in ledgers; the model's by default.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="The environment variable that holds the key.",
    )
    api_key_file: Path | None = Field(default=None, description="A file that holds the key.")
    tokenizer: str = Field(
        default="",
        description="Folder or hub id of the model's tokenizer; with it, texts are sent as ids.",
    )
    mode: PrefixMode | None = Field(
        default=None, description="How partial texts are continued; the best seen by default."
    )
    max_connections: int = Field(default=64, ge=1, description="Most calls at a time, per URL.")
    max_context_tokens: int | None = Field(
        default=None, ge=2, description="Longest text; what the server says by default."
    )
    patience: Patience = Field(default=_NO_PATIENCE, description="Limits on tries and waits.")
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict, description="Added to the body of every request."
    )
    extra_headers: dict[str, str] = Field(
        default_factory=dict, description="Sent with every request; no secrets."
    )
    extra_query: dict[str, str] = Field(
        default_factory=dict, description="Added to every URL; no secrets."
    )
    key_header: str = Field(
        default=BEARER,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="The header that holds the key, such as `api-key`.",
    )
    omit: tuple[str, ...] = Field(
        default=(),
        description="Fields that are not sent. Those that the server refuses by name are found "
        "out anyway.",
    )
    rename: dict[str, str] = Field(
        default_factory=dict, description="Fields that the server takes by another name."
    )

    @field_validator("base_url", mode="before")
    @classmethod
    def _several_or_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _can_be_called(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("there is not a base URL")
        try:
            return tuple(check_base_url(url) for url in urls)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("extra_headers", "extra_query")
    @classmethod
    def _hold_no_secret(cls, given: dict[str, str], field: ValidationInfo) -> dict[str, str]:
        try:
            ensure_no_secret(given, str(field.field_name))
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return given

    @field_validator("omit", "rename")
    @classmethod
    def _leave_what_is_asked(cls, fields: Fields) -> Fields:
        if kept := ESSENTIAL.intersection(fields):
            raise ValueError(f"{min(kept)!r} is what is asked, and cannot be left out or renamed")
        return fields

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        """Connect to all endpoints and observe one; leaving closes the connections."""
        codec = None
        if self.tokenizer:
            codec = await anyio.to_thread.run_sync(_load_codec, self.tokenizer)
        async with AsyncExitStack() as stack:
            endpoints = [self._endpoint(url) for url in self.base_url]
            for endpoint in endpoints:
                stack.push_async_callback(endpoint.close)
            with self._explained():
                observed = await self._observed(endpoints, codec)
            yield RemoteModel(self._terms(codec, observed), endpoints, observed)

    def _terms(self, codec: "TextCodec | None", observed: Observed) -> Terms:
        usage: Literal["exact", "exact unless left", "estimated"] = "estimated"
        if observed.has_usage:
            usage = "exact unless left" if observed.can_stream else "exact"
        return Terms(
            name=self.model,
            label=self.name or self.model,
            capabilities=Capabilities(
                prefix_mode=observed.mode,
                top_logprobs=observed.top_logprobs,
                has_token_ids=observed.mode == "tokens",
                can_judge=observed.top_logprobs > 0 and observed.mode != "quoted",
                can_score=observed.can_score,
                score_top_logprobs=observed.score_top_logprobs,
                can_cancel=True,
                usage=usage,
                context_tokens=self.max_context_tokens or observed.context_tokens,
                losses=observed.losses,
            ),
            codec=codec,
            is_lenient=observed.is_lenient,
            trims_end=observed.trims_end,
            can_pick_logprobs=observed.can_pick_logprobs,
            can_stream=observed.can_stream,
            extra=dict(self.extra_body),
            hedge=Hedge(self.patience.hedge_after_s),
            estimates=Estimates(),
        )

    async def _observed(self, endpoints: Sequence[Endpoint], codec: "TextCodec | None") -> Observed:
        """Observe the first server that is there; the others must have the model too."""
        observed, unreachable = None, list[str]()
        for endpoint in endpoints:
            extra = dict(self.extra_body)
            handshake = Handshake(endpoint, self.model, codec, self.view, extra)
            try:
                if observed is None:
                    observed = await handshake.observe(self.mode)
                else:
                    await handshake.ensure_has_model()
            except (ServerBusyError, ServerUnreachableError) as error:
                unreachable.append(f"{endpoint.base_url} cannot be used: {error}")
        if observed is None:
            raise ModelLoadError("; ".join(unreachable))
        return replace(observed, notes=(*observed.notes, *unreachable))

    def _endpoint(self, url: str) -> Endpoint:
        access = Access(url, self._key(), self.key_header, self.extra_headers, self.extra_query)
        return Endpoint(
            access,
            self.patience,
            connections=self.max_connections,
            manners=Manners(self.omit, self.rename, fixed=tuple(self.extra_body)),
        )

    def _key(self) -> str:
        if self.api_key_file is None:
            return os.environ.get(self.api_key_env, "").strip()
        try:
            return self.api_key_file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelLoadError(
                f"cannot read the key from {str(self.api_key_file)!r}: {type(error).__name__}"
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Have errors say where to look, and show no secret."""
        try:
            yield
        except ModelLoadError as error:
            told, key = str(error), self._key()
            told = told.replace(key, "***") if key else told
            if KEY_REFUSED in told:
                told = f"{told}. {self._key_source(has_key=bool(key))}"
            elif NOT_FOUND in told:
                told = f"{told}. Does the base URL end with the version path, such as /v1?"
            raise ModelLoadError(told) from error

    def _key_source(self, *, has_key: bool) -> str:
        if self.api_key_file is not None:
            return f"The key was read from {str(self.api_key_file)!r}"
        if has_key:
            return f"The key was read from the environment variable {self.api_key_env}"
        return f"The environment variable {self.api_key_env} is not set, so no key was sent"


def _load_codec(reference: str) -> "TextCodec":
    # Only who names a tokenizer needs transformers, whose import takes seconds.
    from collab_backends.tokenizing.codec import TextCodec  # noqa: PLC0415
    from collab_backends.tokenizing.sources import load_tokenizer  # noqa: PLC0415

    return TextCodec(load_tokenizer(reference), reference)
