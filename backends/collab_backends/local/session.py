"""A local session: ids are the truth, the KV cache is a copy of them that can be rebuilt."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from collab.errors import ContextOverflowError, ModelCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.scanning import ProposalBuilder
from collab.seam import Meter, SessionMark
from collab_backends.local.cache import SequenceCache
from collab_backends.local.engine import Engine
from collab_backends.local.jobs import GenerateJob, Job, JudgeJob, Sampler, ScoreJob
from collab_backends.local.tokens import Splice, TextCodec, TextDecoder

_BEFORE_TOKENS = 32
"""Context searched for the beginning of a stop string that ends in new text."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What the sessions of one model share.

    Attributes:
        name: The model's name.
        engine: Works on the jobs.
        codec: The model's tokenizer.
        end_ids: Tokens that end a text.
        context_tokens: Longest text.
        embedding_rows: Ids from here on cannot be fed.
    """

    name: str
    engine: Engine
    codec: TextCodec
    end_ids: frozenset[int]
    context_tokens: int
    embedding_rows: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """A number of ids, and how many splices had been made by then."""

    length: int
    splices: int


class LocalSession:
    """One live text of a local model; see `collab.seam.Session`.

    The cache holds the ids up to the head and, behind it, of decoded tokens; the last decoded
    one is never in it. Splices may write the last few ids again; what they replaced is kept,
    so that every earlier mark can be gone back to.
    """

    def __init__(
        self, seat: Seat, author: str, ids: Sequence[int], *, rng: random.Random, entropy_top_k: int
    ) -> None:
        self.meter = Meter()
        self._seat = seat
        self._author = author
        self._rng = rng
        self._entropy_top_k = entropy_top_k
        self._ids = list(ids)
        self._tail: list[Token] = []
        self._tail_has_ended = False
        self._replaced: list[tuple[int, list[int]]] = []
        self._cache = SequenceCache()
        self._decoder: TextDecoder | None = None

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return _Mark(len(self._ids), len(self._replaced))

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids up to the head, the prompt's included."""
        return tuple(self._ids)

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; what was decoded before is replayed first."""
        replayed = len(self._tail)
        builder = ProposalBuilder(until, self._text_before(until))
        for token in self._tail:
            if builder.feed(token):
                break
        if not builder.is_done and self._tail_has_ended:
            builder.end("eos")
        room = self._seat.context_tokens - len(self._ids) - len(self._tail)
        if not builder.is_done and room <= 0:
            builder.end("context")
        if not builder.is_done:
            await self._decode(builder, sampling, room)
        return builder.build(self._author, replayed=replayed)

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Return the probabilities of the labels' first tokens behind `question`."""
        splice = self._splice(question)
        asked = [*self._ids[: splice.kept], *splice.added]
        label_ids = [self._label_id(asked, label) for label in labels]
        if len(set(label_ids)) < len(label_ids):
            raise ModelCallError(
                f"labels {', '.join(map(repr, labels))} begin with the same token in "
                f"{self._seat.name!r}; choose labels that differ in their first token"
            )
        cache = self._cache.fork(min(splice.kept, len(asked) - 1))
        job = JudgeJob(cache, asked[cache.length :], label_ids)
        await self._run(job, len(asked))
        return Distribution(dict(zip(labels, job.probabilities, strict=True)))

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return the tokens of `text` at the head with their log-probabilities."""
        splice = self._splice(text)
        if not splice.added:
            return ()
        scored = [*self._ids[: splice.kept], *splice.added]
        cache = self._cache.fork(splice.kept - 1)
        job = ScoreJob(cache, scored[cache.length : -1], splice.added)
        await self._run(job, len(scored) - 1)
        decoder = self._seat.codec.decoder(self._ids[: splice.kept])
        return tuple(
            Token(token_id, decoder.feed(token_id), logprob)
            for token_id, logprob in zip(splice.added, job.logprobs, strict=True)
        )

    def commit(self, tokens: int) -> None:
        """Move the head over decoded tokens."""
        if tokens > len(self._tail):
            raise ValueError(f"{tokens} tokens to commit, {len(self._tail)} were decoded")
        self._ids += [token.id for token in self._tail[:tokens]]
        del self._tail[:tokens]

    def append(self, text: str) -> int:
        """Splice foreign text in at the head."""
        self._drop_tail()
        before = len(self._ids)
        splice = self._splice(text)
        if splice.kept < before:
            self._replaced.append((splice.kept, self._ids[splice.kept :]))
        self._cache.truncate(splice.kept)
        self._ids = [*self._ids[: splice.kept], *splice.added]
        return len(self._ids) - before

    def rollback(self, mark: SessionMark) -> None:
        """Go back to `mark`, undoing what splices made since then wrote again."""
        if not isinstance(mark, _Mark) or mark.splices > len(self._replaced):
            raise ValueError(f"{mark!r} is no mark of this session, or lies ahead of its head")
        self._drop_tail()
        while len(self._replaced) > mark.splices:
            kept, ids = self._replaced.pop()
            self._cache.truncate(kept)
            self._ids = [*self._ids[:kept], *ids]
        self._ids = self._ids[: mark.length]
        self._cache.truncate(mark.length)

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["LocalSession"]:
        """Return a session with a copy of the text, of the cache and of the random stream."""
        rng = random.Random()
        rng.setstate(self._rng.getstate())
        twin = LocalSession(
            self._seat, self._author, self._ids, rng=rng, entropy_top_k=self._entropy_top_k
        )
        twin._tail = list(self._tail)
        twin._tail_has_ended = self._tail_has_ended
        twin._replaced = list(self._replaced)
        twin._cache = self._cache.fork(self._cache.length)
        try:
            yield twin
        finally:
            twin.close()

    def close(self) -> None:
        """Release the cache."""
        self._cache.clear()

    # --- calls ------------------------------------------------------------------------------

    async def _decode(self, builder: ProposalBuilder, sampling: Sampling, room: int) -> None:
        context = [*self._ids, *(token.id for token in self._tail)]
        # Logits are not kept: the last token of the context is always fed.
        self._cache.truncate(len(context) - 1)
        if self._decoder is None:
            self._decoder = self._seat.codec.decoder(context)
        job = GenerateJob(
            self._cache,
            context[self._cache.length :],
            builder=builder,
            decoder=self._decoder,
            sampler=Sampler(
                sampling,
                self._rng,
                end_ids=self._seat.end_ids,
                entropy_top_k=self._entropy_top_k,
            ),
            room=room,
        )
        try:
            await self._run(job, len(context))
        finally:
            decoded = job.decoded[:-1] if job.has_ended else job.decoded
            self._tail += decoded
            self._tail_has_ended = job.has_ended

    async def _run(self, job: Job, context: int) -> None:
        """Have a job done and count it, also when it fails or is cancelled.

        Raises:
            ContextOverflowError: Its context is longer than the model's.
            ModelCallError: It failed.
        """
        self._check(job, context)
        cached = context - len(job.pending)
        self.meter.attempts += 1
        try:
            await self._seat.engine.submit(job)
        finally:
            progress = job.progress
            self.meter.prompt_tokens += cached + progress.fed
            self.meter.cached_tokens += cached
            self.meter.completion_tokens += job.completion_tokens
            self.meter.queue_wait_s += progress.queue_wait_s or 0.0
            self.meter.first_token_s = progress.first_token_s

    def _check(self, job: Job, context: int) -> None:
        """Refuse what would fail inside the model, where it could harm others."""
        seat = self._seat
        if context > seat.context_tokens:
            raise ContextOverflowError(
                f"{context:,} tokens exceed the {seat.context_tokens:,} of {seat.name!r}"
            )
        if max(job.pending) >= seat.embedding_rows:
            raise ModelCallError(
                f"token id {max(job.pending)} is outside the {seat.embedding_rows} embeddings of "
                f"{seat.name!r}; its tokenizer belongs to another model"
            )

    # --- text -------------------------------------------------------------------------------

    def _splice(self, text: str) -> Splice:
        return self._seat.codec.splice(self._ids, text)

    def _label_id(self, before: Sequence[int], label: str) -> int:
        splice = self._seat.codec.splice(before, label)
        if not splice.added:
            raise ModelCallError(f"label {label!r} has no token in {self._seat.name!r}")
        # Where label and question would merge into one token, the label is read by itself.
        if splice.kept < len(before):
            return self._seat.codec.splice((), label).added[0]
        return splice.added[0]

    def _text_before(self, until: Until) -> str:
        if not until.stop_strings:
            return ""
        return self._seat.codec.decode(self._ids[-_BEFORE_TOKENS:])

    def _drop_tail(self) -> None:
        self._tail.clear()
        self._tail_has_ended = False
        self._decoder = None
        self._cache.truncate(len(self._ids))
