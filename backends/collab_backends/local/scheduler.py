"""The scheduler: which jobs take part in the next forward pass, and with how many tokens."""

from collections import deque
from dataclasses import dataclass

from collab.errors import ContextOverflowError
from collab.observability import log_event
from collab_backends.local.cache import SequenceCache, common_prefix
from collab_backends.local.jobs import Job
from collab_backends.local.memory import SHARED_TOKENS, CacheMemory


@dataclass(frozen=True, slots=True)
class Share:
    """One job's part of a pass: the next `tokens` of what it has pending."""

    job: Job
    tokens: int


class Scheduler:
    """Admits jobs while there is memory for them, first come, first served.

    Every pass holds one token of each job that decodes, and pieces of contexts, oldest
    first, up to a number of tokens: a long prompt delays the others by one such chunk at a time.

    Args:
        memory: Where room for caches comes from.
        chunk_tokens: Context tokens of one pass, over all jobs.
    """

    def __init__(self, memory: CacheMemory, chunk_tokens: int) -> None:
        self._memory = memory
        self._chunk_tokens = chunk_tokens
        self._waiting: deque[Job] = deque()
        self._active: list[Job] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._active

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs that are not done."""
        return (*self._active, *self._waiting)

    def add(self, job: Job) -> None:
        """Take a new job."""
        self._waiting.append(job)

    def remove(self, done: list[Job]) -> None:
        """Let go of jobs that are done, failed or dropped; their caches rest."""
        for job in done:
            self._memory.rest(job.cache)
        gone = set(done)
        self._active = [job for job in self._active if job not in gone]
        if not gone.isdisjoint(self._waiting):
            self._waiting = deque(job for job in self._waiting if job not in gone)

    def take_cancelled(self) -> list[Job]:
        """Let go of the jobs whose callers have left, and return them."""
        gone = [job for job in self.jobs if job.progress.is_cancelled]
        if gone:
            self.remove(gone)
        return gone

    def plan(self) -> list[Share]:
        """Return the next pass; empty if there is nothing to do, or no room for anybody."""
        self._admit()
        shares = [Share(job, 1) for job in self._active if len(job.pending) == 1]
        room = self._chunk_tokens
        for job in self._active:
            if len(job.pending) > 1 and room > 0:
                shares.append(Share(job, min(len(job.pending), room)))
                room -= shares[-1].tokens
        return shares

    def take_impossible(self) -> list[Job]:
        """Let go of waiting jobs that could not run even alone, and return them, failed."""
        gone = [job for job in self._waiting if not self._memory.fits(job.most_tokens)]
        for job in gone:
            job.progress.error = ContextOverflowError(
                f"a text of {job.most_tokens:,} tokens needs more memory than all caches may take, "
                f"{self._memory.most_tokens:,} tokens; raise cache_gib"
            )
        if gone:
            self.remove(gone)
        return gone

    def _admit(self) -> None:
        still_waiting: deque[Job] = deque()
        is_full = False
        for job in self._waiting:
            held = common_prefix(job.cache.tokens, job.context, job.reusable)
            # Who computes the same prefix right now is waited for: it is copied then.
            if is_full or self._is_following(job, held):
                still_waiting.append(job)
            elif self._memory.claim(job.cache, job.most_tokens):
                self._start(job, held)
            else:
                is_full = True
                still_waiting.append(job)
        self._waiting = still_waiting

    def _start(self, job: Job, held: int) -> None:
        # Claiming its room can have cost a cache at rest, so also this one, its entries.
        held = min(held, job.cache.length)
        if job.reusable > held:
            donor, shared = self._memory.donor(job.context, job.reusable, job.donor)
            if donor is not None and donor is not job.cache and shared > held:
                held = self._take_over(job, donor, shared, held)
        job.cache.truncate(held)
        job.pending = job.context[held:]
        job.progress.cached = held
        self._active.append(job)

    def _take_over(self, job: Job, donor: SequenceCache, shared: int, held: int) -> int:
        """Have a job's cache take over a prefix; return how many entries it holds then."""
        try:
            job.cache.take_prefix(donor, job.context[:shared])
        except (RuntimeError, MemoryError) as error:
            # Without memory for a copy the prefix is computed, piece by piece.
            log_event("cache.not_copied", tokens=shared, error=repr(error))
            return held
        return job.cache.length

    def _is_following(self, job: Job, held: int) -> bool:
        """Whether an active job is about to compute a prefix that this one lacks."""
        if job.reusable - held < SHARED_TOKENS:
            return False
        for other in self._active:
            if len(other.pending) > 1:
                shared = common_prefix(other.context, job.context, job.reusable)
                if shared >= held + SHARED_TOKENS and other.cache.length < shared:
                    return True
        return False
