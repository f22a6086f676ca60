"""What a way of computing has to do, and what all of them do alike.

An engine hands its scheduler to `Passes.step` again and again. `packed.py` computes all texts in
one row through our attention; others stand beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from collab.telemetry.events import log_event
from collab_backends.local.cache import TextCache
from collab_backends.local.jobs import Job
from collab_backends.local.memory import Memory
from collab_backends.local.scheduler import Scheduler, Share
from collab_backends.local.signals import Rows, SignalReading
from collab_backends.local.steering import HiddenStates, Observer, token_id
from collab_backends.local.turns import turns_of


class Passes(ABC):
    """Forward passes of one model; everything here belongs to the engine's thread.

    A way of computing says what its caches are (`memory`), and computes `shares` in `_forward`.

    Args:
        model: The model.
        memory: Where room for its caches comes from.
        hidden: The hooks on its hidden states.

    Attributes:
        prefilled: Context tokens computed since the start.
        decoded: Positions read for a result: tokens decoded and labels judged.
        forwards: Forward passes.
    """

    def __init__(self, model: PreTrainedModel, memory: Memory[Any], hidden: HiddenStates) -> None:
        self.model = model
        self.memory = memory
        self.hidden = hidden
        self.prefilled = 0
        self.decoded = 0
        self.forwards = 0
        self._turns = turns_of(model)

    @property
    def most_jobs(self) -> int:
        """How many jobs can be at work at once; 0 for any number."""
        return 0

    @property
    def host_us_per_step(self) -> float:
        """Microseconds of the host's own work for a decoding step; 0 where it is not measured."""
        return 0.0

    @property
    def capture_s(self) -> float:
        """Seconds that graphs were captured for."""
        return 0.0

    @property
    def compile_s(self) -> float:
        """Seconds that layers were compiled for."""
        return 0.0

    @property
    def chunk_tokens(self) -> int:
        """Context tokens of one pass, where nothing else is asked for."""
        return 512

    def working(self) -> AbstractContextManager[object]:
        """Return what the engine's thread works in."""
        return nullcontext()

    def step(self, scheduler: Scheduler) -> list[Job]:
        """Compute the next pass; return the jobs that are done, or have failed."""
        try:
            shares = scheduler.plan()
        except Exception as error:  # noqa: BLE001  # the engine outlives it, its jobs do not
            return self._fail_all(scheduler, error)
        if not shares:
            return []
        with self._turns:
            return self._forward_split(shares)

    def close(self) -> None:
        """Let go of all memory and hooks."""
        self.hidden.close()
        self.memory.clear()

    @abstractmethod
    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        """Compute shares of jobs and hand them their rows; return the jobs done."""

    def _forward_split(self, shares: Sequence[Share]) -> list[Job]:
        """Make the pass; where it fails, in halves: only jobs that fail alone have failed."""
        try:
            return self._forward(shares)
        except BaseException as error:  # noqa: BLE001  # also what a reduction raises to cancel
            log_event("engine.pass_failed", jobs=len(shares), error=repr(error))
            freed = self.memory.drop_resting() if is_out_of_memory(error) else 0
            if len(shares) > 1:
                half = len(shares) // 2
                return self._forward_split(shares[:half]) + self._forward_split(shares[half:])
            if freed:
                return self._forward_split(shares)
            shares[0].job.progress.fail("the forward pass", error)
            return [shares[0].job]

    def _take(self, shares: Sequence[Share], wanted: Sequence[int], rows: Rows) -> list[Job]:
        """Give jobs the rows that they wanted; return the jobs done."""
        done: list[Job] = []
        start = 0
        for share, count in zip(shares, wanted, strict=True):
            for row, asked in enumerate(share.job.asks(count), start):
                rows.ask(row, asked)
            start += count
        start = 0
        for share, count in zip(shares, wanted, strict=True):
            if self._advance(share, rows, start, start + count):
                done.append(share.job)
            start += count
        return done

    def _advance(self, share: Share, rows: Rows, start: int, end: int) -> bool:
        job = share.job
        self.note_computed(job, share.tokens)
        if start == end:
            return False

        def read() -> bool:
            for row in range(start, end):
                rows.ensure_numbers(row)
            return job.take(rows, start, end)

        return self.hand_over(
            job, read, lambda: any(rows.is_spoilt(row) for row in range(start, end))
        )

    def note_computed(self, job: Job, tokens: int) -> None:
        """Take note that entries of a job's next pending tokens were computed."""
        job.cache.advance(job.pending[:tokens])
        job.pending = job.pending[tokens:]
        self.prefilled += job.note_fed(tokens)

    def hand_over(self, job: Job, read: Callable[[], bool], is_spoilt: Callable[[], bool]) -> bool:
        """Have a job read its results; return whether it is done, or failed to read them.

        Args:
            job: The job.
            read: Reads them; returns whether the job is done.
            is_spoilt: Whether they hold what is no number.
        """
        before = job.completion_tokens
        try:
            is_done = read()
        except BaseException as error:  # noqa: BLE001  # only this job's reading of them failed
            job.progress.fail("reading the logits", error)
            is_done = True
            if is_spoilt():
                # Its entries hold what is no number, and others may have taken them over.
                job.cache.truncate(0)
                self.memory.drop_resting()
        self.decoded += job.completion_tokens - before
        job.progress.note_result()
        return is_done

    def _fail_all(self, scheduler: Scheduler, error: Exception) -> list[Job]:
        """Fail all jobs that are not done, and return them."""
        failed = list(scheduler.jobs)
        for job in failed:
            job.progress.fail("planning the pass", error)
        return failed


def wanted_rows(share: Share) -> int:
    """Return for how many of the last tokens of a share logits are wanted."""
    left = len(share.job.pending) - share.tokens
    return min(max(share.job.wanted_rows - left, 0), share.tokens)


def observed_rows(
    shares: Sequence[Share], wanted: Sequence[int], keys: Sequence[int]
) -> dict[Observer, list[int]]:
    """Return which rows of logits each observer reads the state of.

    Args:
        shares: What is computed.
        wanted: How many of the last tokens of each share have a row.
        keys: By row, the cache key of its token.
    """
    found: dict[Observer, list[int]] = {}
    start = 0
    for share, count in zip(shares, wanted, strict=True):
        for observer in share.job.observers:
            for row in range(start, start + count):
                if observer.reads_at(token_id(keys[row])):
                    found.setdefault(observer, []).append(row)
        start += count
    return found


def readings(
    hidden: HiddenStates, observed: dict[Observer, list[int]]
) -> dict[Observer, SignalReading]:
    """Return what observers read in the pass just made, by row of logits."""
    return {
        observer: SignalReading(
            {row: place for place, row in enumerate(rows)}, hidden.states(observer, rows)
        )
        for observer, rows in observed.items()
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On CPU torch has no type for it.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def begin(share: Share) -> TextCache:
    """Take note that a share is computed now; return its text's cache."""
    share.job.progress.note_started()
    return share.job.cache
