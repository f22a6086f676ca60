"""A local session: ids are the truth, the KV cache is a copy of them that can be rebuilt."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from collab.errors import ConfigError, ContextOverflowError, ModelCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.seam import Meter, Session, SessionMark
from collab.seam.lineage import NO_FORK, Lineage
from collab.seam.scanning import ProposalBuilder
from collab.seam.tail import Tail
from collab.signals import NO_SIGNALS, Observation, Signals, Steering
from collab_backends.local.cache import TextCache, common_prefix
from collab_backends.local.draws import RandomStream
from collab_backends.local.jobs import GenerateJob, Job, Writing
from collab_backends.local.prefill_jobs import JudgeJob, ObserveJob, ScoreJob
from collab_backends.local.sampler import Sampler
from collab_backends.local.seat import Seat
from collab_backends.local.steering import Steer
from collab_backends.local.steers import Steers
from collab_backends.tokenizing.codec import Splice, TextDecoder
from collab_backends.tokenizing.live_ids import LiveIds, Place, ensure_distinct

_BEFORE_TOKENS = 32
"""Context searched for the beginning of a stop string that ends in new text."""


@dataclass(frozen=True, slots=True)
class _SteeredPlace:
    """A place in the text, and what was steered there."""

    text: Place
    steers: tuple[tuple[int, Steer | None], ...]


class LocalSession:
    """One live text of a local model; see `collab.seam.Session`.

    The cache belongs to the engine, which feeds what its entries do not cover.
    """

    def __init__(
        self,
        seat: Seat,
        author: str,
        ids: Sequence[int],
        *,
        rng: RandomStream | None = None,
        signals: Signals = NO_SIGNALS,
    ) -> None:
        self.meter = Meter()
        self._seat = seat
        self._author = author
        self._rng = rng or RandomStream(0)
        self._signals = signals
        self._observers = tuple(map(seat.engine.hidden.observer, signals.observations))
        seat.ensure_known(ids)
        names = [one.name for one in signals.observations]
        if len(set(names)) < len(names):
            raise ConfigError(f"two observations have one name: {', '.join(names)}")
        self._text = LiveIds(seat.codec, ids)
        self._tail = Tail()
        self._lineage: Lineage[_SteeredPlace] = Lineage()
        self._cache: TextCache = seat.engine.memory.new_cache()
        self._origin: LocalSession | None = None
        self._steers = Steers()
        self._decoder: TextDecoder | None = None

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return self._lineage.mark(_SteeredPlace(self._text.place, self._steers.stretches))

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids up to the head, the prompt's included."""
        return tuple(self._text.ids)

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; what was decoded before is replayed first."""
        replayed = len(self._tail.tokens)
        builder = self._tail.replay(until, self._text_before(until))
        room = self._seat.context_tokens - len(self._text.ids) - replayed
        if not builder.is_done and room <= 0:
            builder.end("context")
        if not builder.is_done:
            await self._decode(builder, sampling, room)
        return builder.build(self._author, replayed=replayed)

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Return the probabilities of the labels' first tokens behind `question`."""
        splice = self._splice(question)
        asked = [*self._text.ids[: splice.kept], *splice.added]
        label_ids = [self._label_id(asked, label) for label in labels]
        ensure_distinct(labels, label_ids, self._seat.name)
        with self._scratch() as cache:
            job = JudgeJob(cache, self._steers.keys(asked), label_ids, donor=self._donor)
            await self._run(job)
        ends = job.likeliest in self._seat.end_ids
        likeliest = "" if ends else self._seat.codec.decode([job.likeliest])
        return Distribution(dict(zip(labels, job.probabilities, strict=True)), likeliest)

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return the tokens of `text` at the head with their log-probabilities."""
        splice = self._splice(text)
        if not splice.added:
            return ()
        scored = [*self._text.ids[: splice.kept], *splice.added[:-1]]
        with self._scratch() as cache:
            keys, top_k = self._steers.keys(scored), self._signals.top_k
            job = ScoreJob(cache, keys, splice.added, top_k=top_k, donor=self._donor)
            await self._run(job)
        decoder = self._seat.codec.decoder(self._text.ids[: splice.kept])
        return tuple(
            Token(token_id, decoder.feed(token_id), logprob, top=self._seat.candidates(likeliest))
            for token_id, logprob, likeliest in zip(
                splice.added, job.logprobs, job.tops, strict=True
            )
        )

    async def observe(self, text: str, layer: int) -> Sequence[float]:
        """Return the hidden state at the last token of `text` behind the head, as float32."""
        hidden = self._seat.engine.hidden
        observer = hidden.observer(Observation("behind", hidden.layer(layer)))
        splice = self._splice(text)
        asked = [*self._text.ids[: splice.kept], *splice.added]
        with self._scratch() as cache:
            job = ObserveJob(cache, self._steers.keys(asked), observer, donor=self._donor)
            await self._run(job)
        return job.state

    def reseed(self, seed: int) -> None:
        """Draw from another random stream from now on."""
        self._drop_tail()
        self._rng = RandomStream(seed)

    def commit(self, tokens: int) -> None:
        """Move the head over decoded tokens."""
        self._text.ids += [token.id for token in self._tail.commit(tokens)]
        self._lineage.move()

    def append(self, text: str) -> int:
        """Splice foreign text in at the head."""
        self._drop_tail()
        grown = self._text.append(self._splice(text))
        self._lineage.move()
        # A splice can shorten the text; what was to begin behind it begins at its end.
        last = len(self._text.ids) - 1
        self._steers.shorten(last)
        return grown

    def rollback(self, mark: SessionMark) -> None:
        """Go back to `mark`, undoing what splices made since then wrote again."""
        place = self._lineage.go_back(mark)
        self._text.go_back(place.text)
        self._drop_tail()
        self._steers = Steers(place.steers)

    def steer(self, steering: Steering | None) -> None:
        """Add a vector to hidden states from the last token before the head on."""
        self._drop_tail()
        steer = self._seat.engine.hidden.steer(steering) if steering else None
        self._steers.begin(max(len(self._text.ids) - 1, 0), steer)
        self._lineage.move()

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["LocalSession"]:
        """Return a session with a copy of the text, of the cache and of the random stream."""
        twin = LocalSession(
            self._seat, self._author, self._text.ids, rng=self._rng.copy(), signals=self._signals
        )
        twin._tail, twin._lineage = self._tail.copy(), self._lineage.fork()
        twin._text = self._text.copy()
        twin._steers = Steers(self._steers.stretches)
        # Copied when the twin is first called, as far as it holds by then.
        twin._origin = self
        try:
            yield twin
        finally:
            twin.close()

    def adopt(self, twin: Session) -> None:
        """Take over a fork's text, tail, steering, random stream and cache."""
        if not isinstance(twin, LocalSession) or not twin._lineage.is_fork_of(self._lineage):
            raise ValueError(NO_FORK)
        self._lineage.adopt(twin._lineage)
        self._text, twin._text = twin._text, self._text
        self._tail, twin._tail = twin._tail, self._tail
        self._steers, twin._steers = twin._steers, self._steers
        self._rng, self._decoder = twin._rng, twin._decoder
        self._take_cache(twin)

    def _take_cache(self, twin: "LocalSession") -> None:
        """Keep of two caches the one that holds more of the text, and release the other."""
        keys = self._steers.keys([*self._text.ids, *self._tail.ids])
        mine, theirs = (
            common_prefix(c.tokens, keys, len(keys)) for c in (self._cache, twin._cache)
        )
        # A fork that was not called yet has computed nothing: all there is stands in this cache.
        if theirs >= mine:
            self._cache, twin._cache = twin._cache, self._cache
        self._seat.engine.memory.release(twin._cache)

    def close(self) -> None:
        """Let go of the cache; a fork's is freed, a text's own is kept a while for its prefix."""
        self._lineage.close()
        memory = self._seat.engine.memory
        (memory.release if self._origin else memory.retire)(self._cache)

    @property
    def _donor(self) -> TextCache:
        """The cache that likely holds most of this text; of a fork not called yet its origin's."""
        if self._cache.length or self._origin is None:
            return self._cache
        return self._origin._donor

    # --- calls ------------------------------------------------------------------------------

    async def _decode(self, builder: ProposalBuilder, sampling: Sampling, room: int) -> None:
        context = [*self._text.ids, *self._tail.ids]
        if self._decoder is None:
            self._decoder = self._seat.codec.decoder(context)
        writing = Writing(
            builder,
            self._decoder,
            self._seat.candidates,
            Sampler(sampling, self._rng, end_ids=self._seat.end_ids, signals=self._signals),
            room,
            self._observers,
            self._steers.latest,
        )
        job = GenerateJob(self._cache, self._steers.keys(context), writing, donor=self._donor)
        try:
            await self._run(job)
        finally:
            decoded = job.decoded[:-1] if job.has_ended else job.decoded
            self._tail.tokens += decoded
            self._tail.has_ended = job.has_ended

    async def _run(self, job: Job) -> None:
        """Have a job done and count it, also when it fails or is cancelled.

        Raises:
            ContextOverflowError: Its context is longer than the model's.
            ModelCallError: It failed.
        """
        self._check(job)
        self.meter.attempts += 1
        try:
            await self._seat.engine.submit(job)
        finally:
            progress = job.progress
            self.meter.prompt_tokens += progress.cached + progress.fed
            self.meter.cached_tokens += progress.cached
            self.meter.completion_tokens += job.completion_tokens
            self.meter.queue_wait_s += progress.queue_wait_s or 0.0
            self.meter.first_token_s = progress.first_token_s

    def _check(self, job: Job) -> None:
        seat = self._seat
        if len(job.context) > seat.context_tokens:
            raise ContextOverflowError(
                f"{len(job.context):,} tokens exceed the {seat.context_tokens:,} of {seat.name!r}"
            )

    @contextmanager
    def _scratch(self) -> Iterator[TextCache]:
        """Yield a cache for one question, which leaves no trace in the text's own."""
        cache: TextCache = self._seat.engine.memory.new_cache()
        try:
            yield cache
        finally:
            self._seat.engine.memory.release(cache)

    # --- text -------------------------------------------------------------------------------

    def _splice(self, text: str) -> Splice:
        splice = self._text.splice(text)
        self._seat.ensure_known(splice.added)
        return splice

    def _label_id(self, before: Sequence[int], label: str) -> int:
        found = self._seat.codec.label_id(before, label)
        if found is None:
            raise ModelCallError(f"label {label!r} has no token in {self._seat.name!r}")
        return found

    def _text_before(self, until: Until) -> str:
        if not until.stop_strings:
            return ""
        return self._seat.codec.decode(self._text.ids[-_BEFORE_TOKENS:])

    def _drop_tail(self) -> None:
        self._tail.drop()
        self._decoder = None
