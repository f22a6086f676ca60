"""Jobs: what sessions ask of the engine. Each takes logits row by row until it is done."""

import random
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import anyio

from collab.errors import ModelCallError
from collab.proposals import Sampling, Token
from collab.scanning import ProposalBuilder
from collab_backends.local.cache import SequenceCache
from collab_backends.local.signals import Rows, draw
from collab_backends.local.tokens import TextDecoder


class Job(Protocol):
    """One call to the model. Made and awaited by a session, worked on by the engine's thread."""

    cache: SequenceCache
    pending: list[int]
    progress: "Progress"

    @property
    def wanted_rows(self) -> int:
        """For how many of the last pending tokens logits are wanted."""
        ...

    @property
    def completion_tokens(self) -> int:
        """How many tokens were decoded so far."""
        ...

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Take the wanted rows, `start` to `end`; return whether the job is done."""
        ...


class Progress:
    """What the engine and the waiting session know of a job.

    Attributes:
        finished: Set on the event loop once the job is done, failed or dropped.
        is_cancelled: Set by the session; the engine drops the job at its next step.
        error: Why it failed.
        fed: Prompt tokens computed so far.
        queue_wait_s: Seconds until its first tokens were fed.
        first_token_s: Seconds until its first result.
    """

    def __init__(self, prompt_tokens: int) -> None:
        self.finished = anyio.Event()
        self.is_cancelled = False
        self.error: ModelCallError | None = None
        self.fed = 0
        self.queue_wait_s: float | None = None
        self.first_token_s: float | None = None
        self._prompt_tokens = prompt_tokens
        self._asked = perf_counter()

    def fail(self, what: str, error: Exception) -> None:
        """Take note that the job failed."""
        self.error = ModelCallError(f"{what} failed: {type(error).__name__}: {error}")

    def note_fed(self, tokens: int) -> int:
        """Take note that tokens were fed; return how many of them belong to the prompt."""
        of_prompt = min(tokens, self._prompt_tokens - self.fed)
        self.fed += of_prompt
        return of_prompt

    def note_started(self) -> None:
        """Take note that the engine works on the job."""
        if self.queue_wait_s is None:
            self.queue_wait_s = perf_counter() - self._asked

    def note_result(self) -> None:
        """Take note that there is a first result."""
        if self.first_token_s is None:
            self.first_token_s = perf_counter() - self._asked


class GenerateJob:
    """Decode tokens until the builder wants no more, the text ends, or the context is full."""

    def __init__(
        self,
        cache: SequenceCache,
        pending: list[int],
        *,
        builder: ProposalBuilder,
        decoder: TextDecoder,
        sampler: "Sampler",
        room: int,
    ) -> None:
        self.cache = cache
        self.pending = pending
        self.progress = Progress(len(pending))
        self.decoded: list[Token] = []
        self.has_ended = False
        self._builder = builder
        self._decoder = decoder
        self._sampler = sampler
        self._room = room

    @property
    def wanted_rows(self) -> int:
        """One: only the next token's distribution is wanted."""
        return 1

    @property
    def completion_tokens(self) -> int:
        """How many tokens were decoded so far, an end of text included."""
        return len(self.decoded)

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Decode one token."""
        token_id = self._sampler.choose(rows, start)
        self.has_ended = token_id in self._sampler.end_ids
        text = "" if self.has_ended else self._decoder.feed(token_id)
        self.decoded.append(self._sampler.measured(rows, start, token_id, text))
        self.pending = [token_id]
        if self.has_ended:
            self._builder.end("eos")
        elif not self._builder.feed(self.decoded[-1]) and len(self.decoded) >= self._room:
            self._builder.end("context")
        return self._builder.is_done


class Sampler:
    """Chooses tokens for one session and measures the signals beside them."""

    def __init__(
        self, sampling: Sampling, rng: random.Random, *, end_ids: frozenset[int], entropy_top_k: int
    ) -> None:
        self.end_ids = end_ids
        self._sampling = sampling
        self._rng = rng
        self._entropy_top_k = entropy_top_k

    def choose(self, rows: Rows, row: int) -> int:
        """Return the next token's id."""
        if self._sampling.is_greedy:
            return rows.most_likely[row]
        return draw(rows.logits[row], self._sampling, self._rng)

    def measured(self, rows: Rows, row: int, token_id: int, text: str) -> Token:
        """Return the token with its signals."""
        top_k = self._entropy_top_k
        return Token(
            id=token_id,
            text=text,
            logprob=rows.logprob(row, token_id),
            entropy_nats=rows.entropy(row, top_k) if top_k else None,
            margin=rows.margin(row),
        )


class JudgeJob:
    """Read the probabilities of a few tokens right behind the pending ones."""

    def __init__(self, cache: SequenceCache, pending: list[int], label_ids: Sequence[int]) -> None:
        self.cache = cache
        self.pending = pending
        self.progress = Progress(len(pending))
        self.probabilities: list[float] = []
        self._label_ids = list(label_ids)

    @property
    def wanted_rows(self) -> int:
        """One: only the next token's distribution is wanted."""
        return 1

    @property
    def completion_tokens(self) -> int:
        """One once it is done: the answer is a decoded position."""
        return 1 if self.probabilities else 0

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Read the labels."""
        self.probabilities = rows.logprobs[start, self._label_ids].exp().tolist()
        return True


class ScoreJob:
    """Read the log-probability of every token of a given continuation, in one prefill."""

    def __init__(self, cache: SequenceCache, pending: list[int], scored: Sequence[int]) -> None:
        self.cache = cache
        self.pending = pending
        self.progress = Progress(len(pending))
        self.logprobs: list[float] = []
        self._scored = list(scored)

    @property
    def wanted_rows(self) -> int:
        """One for each scored token: it is predicted by the row before it."""
        return len(self._scored)

    @property
    def completion_tokens(self) -> int:
        """None: nothing is decoded."""
        return 0

    def take(self, rows: Rows, start: int, end: int) -> bool:
        """Read the tokens that these rows predict."""
        done = len(self.logprobs)
        for row, token_id in zip(range(start, end), self._scored[done:], strict=False):
            self.logprobs.append(rows.logprob(row, token_id))
        return len(self.logprobs) == len(self._scored)
