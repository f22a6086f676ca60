"""The backend `openai`: a model behind a URL."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio.to_thread
from pydantic import ConfigDict, Field, JsonValue, field_validator

from collab.capabilities import Capabilities, PrefixMode
from collab.diagnosis import Diagnosis
from collab.errors import ConfigError, ModelLoadError
from collab.proposals import Sampling, Until
from collab.seam import Backend, Model
from collab.signals import NO_SIGNALS, Signals
from collab.telemetry import Service
from collab.views import View
from collab_backends.live_ids import LiveIds
from collab_backends.remote.asking import Terms
from collab_backends.remote.endpoint import Endpoint, Patience, check_base_url
from collab_backends.remote.failures import (
    KEY_REFUSED,
    NOT_FOUND,
    ServerBusyError,
    ServerUnreachableError,
)
from collab_backends.remote.handshake import Handshake, Observed
from collab_backends.remote.hedging import Hedge
from collab_backends.remote.session import RemoteSession
from collab_backends.remote.texts import IdText, LiveText, PlainText
from collab_backends.templates import check_template

if TYPE_CHECKING:
    from collab_backends.local.tokens import TextCodec

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
        description="With version path, such as http://127.0.0.1:8000/v1; several are one model's."
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
    patience: Patience = Field(default=_NO_PATIENCE, description="Tries and waits.")
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict, description="Added to the body of every request."
    )

    @field_validator("base_url", mode="before")
    @classmethod
    def _several_or_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _can_be_called(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("there is no base URL")
        try:
            return tuple(check_base_url(url) for url in urls)
        except ConfigError as error:
            raise ValueError(str(error)) from error

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
            yield RemoteModel(self, endpoints, codec, observed)

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
        return Endpoint(
            url,
            self._key(),
            patience=self.patience,
            connections=self.max_connections,
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


class RemoteModel:
    """A connected model; see `collab.seam.Model`.

    Attributes:
        observed: What the handshake saw.
        endpoints: Its servers.
    """

    def __init__(
        self,
        options: OpenAIServer,
        endpoints: list[Endpoint],
        codec: "TextCodec | None",
        observed: Observed,
    ) -> None:
        self.observed = observed
        self.endpoints = endpoints
        self._urls = ", ".join(options.base_url)
        context = options.max_context_tokens or observed.context_tokens
        self._terms = Terms(
            name=options.model,
            label=options.name or options.model,
            capabilities=Capabilities(
                prefix_mode=observed.mode,
                top_logprobs=observed.top_logprobs,
                has_token_ids=observed.mode == "tokens",
                can_judge=observed.top_logprobs > 0 and observed.mode != "quoted",
                can_score=observed.can_score,
                can_cancel=True,
                usage="exact" if observed.has_usage else "estimated",
                context_tokens=context,
            ),
            codec=codec,
            is_lenient=observed.is_lenient,
            trims_end=observed.trims_end,
            can_pick_logprobs=observed.can_pick_logprobs,
            extra=dict(options.extra_body),
            hedge=Hedge(options.patience.hedge_after_s),
        )

    @property
    def name(self) -> str:
        """Its name in ledgers and errors."""
        return self._terms.label

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._terms.capabilities

    @property
    def service(self) -> Service:
        """How it is asked, for traces."""
        owner = self.observed.owner.lower()
        provider = owner if owner in _SERVERS else "openai"
        operation: Literal["chat", "text_completion"] = (
            "chat" if self._terms.is_chat else "text_completion"
        )
        return Service(operation, provider, self._terms.name)

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator[RemoteSession]:
        """Open a session; nothing is sent before its first call."""
        yield RemoteSession(
            self._terms,
            self._ordered(view.prompt),
            view.participant,
            self._text(view),
            seed=seed,
            signals=signals,
        )

    async def diagnose(self, view: View) -> Diagnosis:
        """Return what was observed; one token is asked for behind the view's prompt."""
        async with self.open(view, seed=0) as session:
            await session.generate(Until(1), Sampling())
        meter = session.meter
        return Diagnosis(
            model=self._terms.name,
            place=self._urls,
            served_by=self.observed.owner,
            tokenizer=self._terms.codec.fingerprint if self._terms.codec else "",
            template=check_template(
                self._terms.codec, view, None if meter.is_estimated else meter.prompt_tokens
            ),
            notes=self.observed.notes,
        )

    def prompt_tokens(self, view: View) -> int | None:
        """Return the length of the view's prompt; `None` without a tokenizer here."""
        return len(self._terms.codec.render(view)) if self._terms.codec else None

    def _text(self, view: View) -> LiveText:
        codec, mode = self._terms.codec, self.capabilities.prefix_mode
        if codec is None:
            return PlainText(view, mode, view.prompt)
        ids = codec.render(view)
        self.capabilities.ensure_prompt_fits(len(ids), self.name)
        if mode == "tokens":
            return IdText(LiveIds(codec, ids))
        # A server that puts a begin-of-text token before every text is not sent another one.
        sent = ids[1:] if self.observed.adds_begin else ids
        return PlainText(view, mode, codec.decode(sent))

    def _ordered(self, prompt: str) -> list[Endpoint]:
        """Return the endpoints in a problem's own order: its prefix stays cached at the first."""
        digest = hashlib.sha256(prompt.encode()).digest()
        first = int.from_bytes(digest[:4], "big") % len(self.endpoints)
        return [*self.endpoints[first:], *self.endpoints[:first]]


def _load_codec(reference: str) -> "TextCodec":
    # Only who names a tokenizer needs transformers, whose import takes seconds.
    from collab_backends.local.sources import load_tokenizer  # noqa: PLC0415
    from collab_backends.local.tokens import TextCodec  # noqa: PLC0415

    return TextCodec(load_tokenizer(reference), reference)
