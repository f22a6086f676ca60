"""Jobs: what sessions ask of the engine. Each takes rows of logits until it is done.

Those that write nothing are in `prefill_jobs`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import anyio

from collab.errors import CollabError, ModelCallError
from collab.proposals import Candidate, Token
from collab.seam.scanning import ProposalBuilder
from collab.signals import Observed
from collab_backends.local.cache import TextCache
from collab_backends.local.sampler import Drawn, Sampler
from collab_backends.local.signals import Rows
from collab_backends.local.steering import Observer, Steer
from collab_backends.tokenizing.codec import TextDecoder


class Progress:
    """What the engine and the waiting session know of a job.

    Attributes:
        finished: Set on the event loop once the job is done, failed or dropped.
        is_cancelled: Set by the session; the engine drops the job at its next step.
        error: Why it failed.
        cached: Context tokens that did not have to be computed.
        fed: Context tokens computed so far.
        queue_wait_s: Seconds until its first tokens were fed.
        first_token_s: Seconds until its first result.
    """

    __slots__ = (
        "_asked",
        "cached",
        "error",
        "fed",
        "finished",
        "first_token_s",
        "is_cancelled",
        "queue_wait_s",
    )

    def __init__(self) -> None:
        self.finished = anyio.Event()
        self.is_cancelled = False
        self.error: CollabError | None = None
        self.cached = self.fed = 0
        self.queue_wait_s: float | None = None
        self.first_token_s: float | None = None
        self._asked = perf_counter()

    def fail(self, what: str, error: BaseException) -> None:
        """Take note that the job failed."""
        if isinstance(error, CollabError):
            self.error = error
        else:
            self.error = ModelCallError(f"{what} failed: {type(error).__name__}: {error}")

    def note_started(self) -> None:
        """Take note that the engine works on the job."""
        if self.queue_wait_s is None:
            self.queue_wait_s = perf_counter() - self._asked

    def note_result(self) -> None:
        """Take note that there is a first result."""
        if self.first_token_s is None:
            self.first_token_s = perf_counter() - self._asked


class Job(ABC):
    """One call to the model. Made and awaited by a session, worked on by the engine's thread.

    Args:
        cache: Where its entries stand; nobody else touches it while the job is at work.
        context: Cache keys of the text that its first result depends on; the job owns the list.
        wanted_rows: For how many of the last tokens of its context logits are wanted.
        most_new_tokens: How many tokens may be fed behind the context.
        donor: A cache that likely holds a longer prefix of the context.
        observers: Whose states it wants.

    Attributes:
        reusable: How many of the context's entries could be taken over: a token whose logits are
            wanted has to be fed.
        most_tokens: How many tokens its cache holds at the most.
        pending: Cache keys to be fed, once the job is at work.
        left_of_context: Tokens of the context that are still to be fed, once it is at work.
    """

    def __init__(
        self,
        cache: TextCache,
        context: list[int],
        *,
        wanted_rows: int = 1,
        most_new_tokens: int = 0,
        donor: TextCache | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.cache = cache
        self.context = context
        self.wanted_rows = wanted_rows
        self.reusable = len(context) - wanted_rows
        self.most_tokens = len(context) + most_new_tokens
        self.donor = donor
        self.observers = observers
        self.pending: list[int] = []
        self.left_of_context = 0
        self.progress = Progress()
        self._asked_tokens = len(context)
        self._is_begun = False

    def note_cached(self, tokens: int) -> None:
        """Take note of how many entries of the context need not be computed."""
        self.left_of_context = len(self.context) - tokens
        if not self._is_begun:
            self._is_begun = True
            self.progress.cached = tokens

    def note_fed(self, tokens: int) -> int:
        """Take note that pending tokens were fed; return how many of them were context.

        What has to be computed a second time, for want of memory, is not the caller's.
        """
        of_context = min(tokens, self.left_of_context)
        self.left_of_context -= of_context
        most = self._asked_tokens - self.progress.cached
        self.progress.fed = min(self.progress.fed + of_context, most)
        return of_context

    def begin_again(self) -> None:
        """Wait to be started again, with the text as it is by now."""
        self.context = [*self.cache.tokens, *self.pending]
        # Rows that were taken are not wanted again.
        self.wanted_rows = min(self.wanted_rows, len(self.pending))
        self.reusable = len(self.context) - self.wanted_rows
        self.pending = []

    @property
    @abstractmethod
    def completion_tokens(self) -> int:
        """How many tokens were decoded so far."""

    def asks(self, rows: int) -> Sequence[Sequence[int]]:
        """Return, for each of the next rows it takes, the ids whose logits it will read."""
        return [()] * rows

    @abstractmethod
    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Take the wanted rows, `start` to `end`; return whether the job is done."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How one call writes.

    Attributes:
        builder: Says when no further token is wanted.
        decoder: Gives the tokens' texts.
        candidates: Gives the likeliest tokens at a position their texts.
        sampler: Chooses tokens and measures their signals.
        room: How many tokens the model's context has left.
        observers: Whose hidden states are wanted beside the tokens.
        steer: What is added at the places of the new tokens, if anything.
    """

    builder: ProposalBuilder
    decoder: TextDecoder
    candidates: "Callable[[Sequence[tuple[int, float]]], tuple[Candidate, ...]]"
    sampler: Sampler
    room: int
    observers: Sequence[Observer] = ()
    steer: Steer | None = None

    def key(self, token_id: int) -> int:
        """Return the cache key of a new token."""
        return self.steer.key(token_id) if self.steer else token_id


class GenerateJob(Job):
    """Decode tokens until the builder wants no more, the text ends, or the context is full."""

    def __init__(
        self,
        cache: TextCache,
        context: list[int],
        writing: Writing,
        *,
        donor: TextCache | None = None,
    ) -> None:
        super().__init__(
            cache,
            context,
            # All that are asked for; the last of them is never fed.
            most_new_tokens=min(writing.room, writing.builder.room),
            donor=donor,
            observers=writing.observers,
        )
        self.decoded: list[Token] = []
        self.has_ended = False
        self._writing = writing

    @property
    def completion_tokens(self) -> int:
        """How many tokens were decoded so far, an end of text included."""
        return len(self.decoded)

    @property
    def writing(self) -> Writing:
        """How it writes."""
        return self._writing

    @property
    def room(self) -> int:
        """How many further tokens may come, whatever they are."""
        return min(self._writing.builder.room, self._writing.room - len(self.decoded))

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Decode one token."""
        sampler = self._writing.sampler
        token_id = sampler.choose(rows, start)
        observed = {
            observer.name: numbers
            for observer in self.observers
            if (numbers := rows.observed(start, observer)) is not None
        }
        return self.accept(sampler.measured(rows, start, token_id), observed)

    def accept(self, drawn: Drawn, observed: Observed) -> bool:
        """Take the token that was decoded; return whether the job is done."""
        writing, builder = self._writing, self._writing.builder
        self.has_ended = drawn.id in writing.sampler.end_ids
        token = Token(
            id=drawn.id,
            text="" if self.has_ended else writing.decoder.feed(drawn.id),
            logprob=drawn.logprob,
            entropy_nats=drawn.entropy,
            margin=drawn.margin,
            observed=observed if self.observers else None,
            top=writing.candidates(drawn.top) if drawn.top else (),
        )
        self.decoded.append(token)
        self.pending = [writing.key(drawn.id)]
        if self.has_ended:
            builder.end("eos")
        elif not builder.feed(token) and len(self.decoded) >= writing.room:
            builder.end("context")
        return builder.is_done
