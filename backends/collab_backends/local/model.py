"""A loaded model of the backend `local`: its engine, and the sessions on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from collab.capabilities import Capabilities
from collab.concurrency import unwrapped
from collab.errors import EmptyPromptError
from collab.seam.diagnosis import Diagnosis
from collab.signals import NO_SIGNALS, Signals
from collab.views import View
from collab_backends.local.draws import RandomStream
from collab_backends.local.engine import Engine
from collab_backends.local.engines import EngineOptions, Sizes, make_passes
from collab_backends.local.fingerprint import fingerprint
from collab_backends.local.loading import LoadedModel, LoadOptions, load_model
from collab_backends.local.placement import described
from collab_backends.local.seat import Seat
from collab_backends.local.session import LocalSession
from collab_backends.local.steering import HiddenStates
from collab_backends.tokenizing.codec import TextCodec
from collab_backends.tokenizing.templates import check_template

__all__ = ["EngineOptions", "LoadOptions", "LocalModel", "load_model"]


class LocalModel:
    """A loaded model; see `collab.seam.Model`.

    Attributes:
        engine: Works on all its sessions.
        seat: What its sessions share.
        open_sessions: Sessions open now, forks not counted.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        *,
        chunk_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        codec = TextCodec(loaded.tokenizer, name)
        hidden = HiddenStates(loaded.model, codec.ids_of)
        sizes = Sizes(loaded.context_tokens, loaded.cache_tokens, loaded.vocabulary)
        passes = make_passes(
            loaded.model, hidden, sizes, loaded.options, own_cache=loaded.own_cache
        )
        if loaded.own_cache is not None and not loaded.own_cache.takes_pieces:
            chunk_tokens = None
        self.engine = Engine(passes, chunk_tokens=chunk_tokens, threads=threads)
        self.open_sessions = 0
        self._place = f"this process, {described(loaded.model)}, {loaded.model.dtype}"
        self._remarks = loaded.remarks
        self.seat = Seat(
            name=name,
            engine=self.engine,
            codec=codec,
            end_ids=loaded.end_ids,
            context_tokens=loaded.context_tokens,
            embedding_rows=loaded.embedding_rows,
        )
        self._capabilities = Capabilities(
            prefix_mode="tokens",
            top_logprobs=loaded.vocabulary,
            score_top_logprobs=loaded.vocabulary,
            has_token_ids=True,
            can_judge=True,
            can_score=True,
            has_hidden_states=True,
            can_steer=True,
            can_cancel=True,
            context_tokens=loaded.context_tokens,
            hidden_size=self.engine.hidden.hidden_size,
            blocks=self.engine.hidden.blocks,
            fingerprint=fingerprint(loaded.model),
        )

    @property
    def name(self) -> str:
        """Its name in ledgers and errors."""
        return self.seat.name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._capabilities

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Have the engine at work; leaving stops it and frees its caches."""
        with unwrapped():
            async with anyio.create_task_group() as group:
                group.start_soon(self.engine.serve)
                try:
                    yield
                finally:
                    self.engine.close()

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator[LocalSession]:
        """Open a session; nothing is computed before its first call."""
        ids = self.seat.codec.render(view)
        if not ids:
            raise EmptyPromptError(f"the prompt has no token in the vocabulary of {self.name!r}")
        self.capabilities.ensure_prompt_fits(len(ids), self.name)
        session = LocalSession(
            self.seat,
            view.participant,
            ids,
            rng=RandomStream(seed),
            signals=signals,
        )
        self.open_sessions += 1
        try:
            yield session
        finally:
            session.close()
            self.open_sessions -= 1

    async def diagnose(self, view: View) -> Diagnosis:
        """Return what is known of the model; nothing is computed."""
        return Diagnosis(
            model=self.name,
            place=self._place.replace("torch.", ""),
            served_by="transformers",
            tokenizer=self.seat.codec.fingerprint,
            template=check_template(self.seat.codec, view),
            remarks=self._remarks,
        )

    def prompt_tokens(self, view: View) -> int:
        """Return the length of the view's prompt."""
        return len(self.seat.codec.render(view))
