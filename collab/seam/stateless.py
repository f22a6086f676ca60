"""Sessions for models without state: anything that can continue a text.

A backend author implements `TextModel.write` alone; replay, commit, rollback, fork and counting
are here. The text is the truth: nothing is cached, so every call is given all of it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from time import perf_counter

import anyio.lowlevel

from collab.capabilities import Capabilities
from collab.errors import ModelCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.seam.lineage import NO_FORK, Lineage
from collab.seam.scanning import ProposalBuilder
from collab.seam.session import Meter, Session, SessionMark
from collab.seam.tail import Tail
from collab.signals import NO_SIGNALS, Signals
from collab.views import View

NO_TOKEN_ID = -1


class TextModel:
    """A model that continues a text, token text by token text.

    Attributes:
        name: Its name in ledgers and errors.
        capabilities: What it can do; only the context length concerns this class.
    """

    name: str = "text model"
    capabilities = Capabilities(prefix_mode="text", usage="estimated", can_cancel=True)

    def write(self, text: str, max_tokens: int, sampling: Sampling) -> AsyncIterator[str]:
        """Yield the texts of the tokens that follow `text`; end where the text ends.

        Iteration is stopped as soon as no more is wanted, so write lazily.
        """
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` has; by default its words are counted, an estimate."""
        return len(text.split())

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator["TextSession"]:
        """Open a session after the view's prompt.

        Raises:
            ContextOverflowError: The prompt does not fit.
            InvalidPromptError: It is a conversation, for which there is no chat template.
        """
        prompt = view.raw_text
        self.capabilities.ensure_prompt_fits(self.count_tokens(prompt), self.name)
        yield TextSession(self, view.participant, prompt)


class TextSession:
    """A live text whose model is given all of it at every call."""

    def __init__(self, model: TextModel, author: str, text: str) -> None:
        self.meter = Meter()
        self._model = model
        self._author = author
        self._text = text
        self._tail = Tail()
        self._lineage: Lineage[int] = Lineage()

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return self._lineage.mark(len(self._text))

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; what was decoded before is replayed first."""
        replayed = len(self._tail.tokens)
        builder = self._tail.replay(until, self._text)
        if not builder.is_done:
            await self._write_on(builder, until.max_tokens - replayed, sampling)
        if not builder.is_done:
            builder.end("eos")
        return builder.build(self._author, replayed=replayed)

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Refuse: a stream of text has no probabilities."""
        raise ModelCallError(f"{self._model.name!r} cannot judge")

    async def score(self, text: str) -> tuple[Token, ...]:
        """Refuse: a stream of text has no probabilities."""
        raise ModelCallError(f"{self._model.name!r} cannot score")

    def commit(self, tokens: int) -> None:
        """Move the head over decoded tokens."""
        self._text += "".join(token.text for token in self._tail.commit(tokens))
        self._lineage.move()

    def append(self, text: str) -> int:
        """Splice foreign text in at the head."""
        self._tail.drop()
        self._text += text
        self._lineage.move()
        return self._model.count_tokens(text)

    def rollback(self, mark: SessionMark) -> None:
        """Move the head back to `mark`."""
        self._text = self._text[: self._lineage.go_back(mark)]
        self._tail.drop()

    @asynccontextmanager
    async def fork(self) -> AsyncIterator[Session]:
        """Return a session with the same text."""
        twin = TextSession(self._model, self._author, self._text)
        twin._tail, twin._lineage = self._tail.copy(), self._lineage.fork()
        try:
            yield twin
        finally:
            twin._lineage.close()

    def adopt(self, twin: Session) -> None:
        """Take over a fork's text and tail."""
        if not isinstance(twin, TextSession) or not twin._lineage.is_fork_of(self._lineage):
            raise ValueError(NO_FORK)
        self._lineage.adopt(twin._lineage)
        self._text, twin._text = twin._text, self._text
        self._tail, twin._tail = twin._tail, self._tail

    async def _write_on(self, builder: ProposalBuilder, room: int, sampling: Sampling) -> None:
        text = self._text + self._tail.text
        started = perf_counter()
        self.meter.attempts += 1
        self.meter.estimates += self._model.capabilities.usage == "estimated"
        self.meter.prompt_tokens += self._model.count_tokens(text)
        self.meter.first_token_s = None
        async with aclosing(_closable(self._model.write(text, room, sampling))) as written:
            async for piece in written:
                self.meter.completion_tokens += 1
                self.meter.first_token_s = self.meter.first_token_s or perf_counter() - started
                token = Token(NO_TOKEN_ID, piece)
                self._tail.tokens.append(token)
                if builder.feed(token):
                    return
                # A model that never waits must still be possible to leave.
                await anyio.lowlevel.checkpoint()
        self._tail.has_ended = True


async def _closable(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Wrap any iterator so that it can be closed: generators at once, others not at all."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        if close := getattr(pieces, "aclose", None):
            await close()
