"""A connected remote model: what it can do, and its live texts."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from collab.capabilities import Capabilities
from collab.messages import text_of
from collab.proposals import Sampling, Until
from collab.seam import Service
from collab.seam.diagnosis import Diagnosis
from collab.signals import NO_SIGNALS, Signals
from collab.views import View
from collab_backends.remote.asking import Terms
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.estimating import impossible
from collab_backends.remote.handshake import Observed
from collab_backends.remote.paid import Paid
from collab_backends.remote.session import RemoteSession
from collab_backends.remote.texts import IdText, LiveText, PlainText
from collab_backends.tokenizing.live_ids import LiveIds
from collab_backends.tokenizing.templates import check_template

if TYPE_CHECKING:
    pass

_SERVERS = ("vllm", "llamacpp", "sglang")
"""Programs that say who they are."""


class RemoteModel:
    """A connected model; see `collab.seam.Model`.

    Args:
        terms: How it is asked.
        endpoints: Its servers.
        observed: What the handshake saw.
    """

    def __init__(self, terms: Terms, endpoints: list[Endpoint], observed: Observed) -> None:
        self.observed = observed
        self.endpoints = endpoints
        self._terms = terms

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
            self._ordered(text_of(view.prompt)),
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
        counted = impossible(text_of(view.prompt), Paid(prompt=meter.prompt_tokens))
        learned = [note for one in self.endpoints for note in one.manners.notes]
        notes = dict.fromkeys([*self.observed.notes, *learned, *filter(None, [counted])])
        return Diagnosis(
            model=self._terms.name,
            place=", ".join(one.base_url for one in self.endpoints),
            served_by=self.observed.owner,
            tokenizer=self._terms.codec.fingerprint if self._terms.codec else "",
            template=check_template(
                self._terms.codec, view, None if meter.is_estimated else meter.prompt_tokens
            ),
            notes=tuple(notes),
        )

    def prompt_tokens(self, view: View) -> int | None:
        """Return the length of the view's prompt; `None` without a tokenizer here."""
        return len(self._terms.codec.render(view)) if self._terms.codec else None

    def _text(self, view: View) -> LiveText:
        codec, mode = self._terms.codec, self.capabilities.prefix_mode
        if codec is None:
            return PlainText(view, mode, view.raw_text if mode == "text" else "")
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
