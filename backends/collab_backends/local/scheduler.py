"""The scheduler: which jobs take part in the next forward pass, and with how many tokens."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from collab.errors import ContextOverflowError
from collab.telemetry.events import log_event
from collab_backends.local.cache import TextCache, common_prefix
from collab_backends.local.jobs import Job
from collab_backends.local.memory import SHARED_TOKENS, Memory

AHEAD_TOKENS = 64
"""Room that a text which decodes takes at once, so that it need not ask before every token."""


@dataclass(frozen=True, slots=True)
class Share:
    """One job's part of a pass: the next `tokens` of what it has pending."""

    job: Job
    tokens: int


class Scheduler:
    """Admits jobs while there is memory for their texts, first come, first served.

    Every pass holds one token of each job that decodes, and pieces of contexts, oldest
    first, up to a number of tokens: a long prompt delays the others by one such chunk at a time.

    A text takes room as it grows. Where there is none left, the youngest text waits until there is
    some again, and is then recomputed: its tokens are the truth.

    Args:
        memory: Where room for caches comes from.
        chunk_tokens: Context tokens of one pass, over all jobs.
        most_jobs: How many may be at work at once; 0 for any number.
    """

    def __init__(self, memory: Memory[Any], chunk_tokens: int, *, most_jobs: int = 0) -> None:
        self.chunk_tokens = chunk_tokens
        self._memory = memory
        self._most_jobs = most_jobs
        self._waiting: deque[Job] = deque()
        # In the order in which they were admitted.
        self._active: dict[Job, None] = {}
        self._failed: list[Job] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._active and not self._failed

    @property
    def active(self) -> tuple[Job, ...]:
        """Jobs at work, the oldest first."""
        return tuple(self._active)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs that are not done."""
        return (*self._active, *self._waiting, *self._failed)

    def add(self, job: Job) -> None:
        """Take a new job."""
        self._waiting.append(job)

    def remove(self, done: list[Job]) -> None:
        """Let go of jobs that are done, failed or dropped; their caches rest."""
        for job in done:
            self._memory.rest(job.cache)
        gone = set(done)
        for job in done:
            self._active.pop(job, None)
        if not gone.isdisjoint(self._waiting):
            self._waiting = deque(job for job in self._waiting if job not in gone)

    def take_cancelled(self) -> list[Job]:
        """Let go of the jobs whose callers have left, and return them."""
        gone = [job for job in self.jobs if job.progress.is_cancelled]
        if gone:
            self.remove(gone)
        return gone

    def take_impossible(self) -> list[Job]:
        """Let go of jobs whose texts could not even have room alone, and return them, failed."""
        gone = [job for job in self._waiting if not self._memory.fits(len(job.context))]
        gone += self._failed
        self._failed = []
        for job in gone:
            tokens = max(len(job.context), job.cache.length + 1)
            job.progress.error = ContextOverflowError(
                f"a text of {tokens:,} tokens needs more memory than all caches may take, "
                f"{self._memory.most_tokens:,} tokens; raise cache_gib"
            )
        if gone:
            self.remove(gone)
        return gone

    def plan(self) -> list[Share]:
        """Return the next pass; empty if there is nothing to do, or no room for anybody."""
        self.admit()
        decoding: list[Share] = []
        reading: list[Share] = []
        room = self.chunk_tokens
        for job in tuple(self._active):
            tokens = 1 if len(job.pending) == 1 else min(len(job.pending), room)
            if not tokens or not self.secure(job, job.cache.length + tokens):
                continue
            if len(job.pending) == 1:
                decoding.append(Share(job, 1))
            else:
                room -= tokens
                reading.append(Share(job, tokens))
        return decoding + reading

    def has_room(self, job: Job, tokens: int) -> bool:
        """Let a job's text grow to `tokens`; whether it is active, and nobody has to give way."""
        return job in self._active and self._claim(job, tokens)

    def secure(self, job: Job, tokens: int) -> bool:
        """Let an active job's text grow to `tokens`; whether it may, and is still active.

        Younger ones give way to it; without any, it waits or, alone, has failed.
        """
        if job not in self._active:
            return False
        while not self._claim(job, tokens):
            youngest = next(reversed(self._active))
            if youngest is job and len(self._active) == 1:
                self._failed.append(job)
                del self._active[job]
                return False
            self._defer(youngest)
            if youngest is job:
                return False
        return True

    def admit(self) -> None:
        """Have waiting jobs join while there is room for their contexts."""
        still_waiting: deque[Job] = deque()
        is_full = False
        for job in self._waiting:
            is_full = is_full or 0 < self._most_jobs <= len(self._active)
            held = common_prefix(job.cache.tokens, job.context, job.reusable)
            # Who computes the same prefix right now is waited for: it is copied then.
            if is_full or self._is_following(job, held):
                still_waiting.append(job)
            elif not self._start(job, held):
                is_full = True
                still_waiting.append(job)
        self._waiting = still_waiting

    def _start(self, job: Job, held: int) -> bool:
        memory, cache = self._memory, job.cache
        cache.truncate(held)
        donor, shared = self._donor(job)
        if donor is not None and memory.is_shared:
            self._take_over(job, donor, shared)
        if not self._claim(job, len(job.context)):
            return False
        if donor is not None and not memory.is_shared:
            self._take_over(job, donor, shared)
        job.pending = job.context[cache.length :]
        job.note_cached(cache.length)
        self._active[job] = None
        return True

    def _donor(self, job: Job) -> tuple[TextCache | None, int]:
        """Return the cache that holds more of a job's context than its own, and how much."""
        held = job.cache.length
        if job.reusable > held:
            donor, shared = self._memory.donor(job.context, job.reusable, job.donor)
            if donor is not job.cache and shared > held:
                return donor, shared
        return None, held

    def _claim(self, job: Job, tokens: int) -> bool:
        if job.cache.is_busy and job.cache.capacity >= tokens:
            return self._memory.claim(job.cache, tokens)
        ahead = min(tokens + AHEAD_TOKENS, job.most_tokens)
        return self._memory.claim(job.cache, max(tokens, ahead)) or self._memory.claim(
            job.cache, tokens
        )

    def _defer(self, job: Job) -> None:
        """Have an active job wait until there is room for its text again."""
        log_event("engine.deferred", tokens=job.cache.length)
        del self._active[job]
        # First what its text is by now: at rest, its cache may be freed.
        job.begin_again()
        self._memory.rest(job.cache)
        self._waiting.appendleft(job)

    def _take_over(self, job: Job, donor: TextCache, shared: int) -> None:
        """Have a job's cache take over a prefix."""
        try:
            job.cache.take_prefix(donor, job.context[:shared])
        except (RuntimeError, MemoryError) as error:
            # Without memory for a copy the prefix is computed, piece by piece.
            log_event("cache.not_copied", tokens=shared, error=repr(error))

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
