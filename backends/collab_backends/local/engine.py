"""The engine: a thread on which all sessions' jobs share forward passes."""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import torch
from transformers import PreTrainedModel

from collab.errors import ModelCallError
from collab.observability import log_event
from collab_backends.local.attention import Piece, Plan
from collab_backends.local.jobs import Job
from collab_backends.local.memory import CacheMemory
from collab_backends.local.scheduler import Scheduler, Share
from collab_backends.local.signals import Reading, Rows
from collab_backends.local.steering import HiddenStates, Observer, token_id
from collab_backends.local.turns import turns_of

_TURNS = 5
"""Turns of the event loop that the thread waits after handing over results, so that the
sessions just answered can ask again and join the next pass."""

_LONGEST_WAIT_S = 0.005
"""But no longer than that: the others must not wait for whoever keeps the event loop busy."""


class Engine:
    """Works on jobs until they are done; any number of them in one forward pass.

    `submit`, `serve` and `close` belong to the event loop, everything from `_run` down to the
    engine's thread. A job joins the others at the next step and leaves when it is done.

    Args:
        model: A model whose attention is ours, see `loading.prepare`.
        memory: Where room for caches comes from.
        hidden: The hooks on its hidden states.
        chunk_tokens: Context tokens of one pass.
        threads: CPU threads of one pass; torch's own by default.

    Attributes:
        prefilled: Context tokens computed since the start.
        decoded: Positions read for a result: tokens decoded and labels judged.
        forwards: Forward passes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        memory: CacheMemory,
        hidden: HiddenStates,
        *,
        chunk_tokens: int = 512,
        threads: int | None = None,
    ) -> None:
        self.memory = memory
        self.hidden = hidden
        self.prefilled = 0
        self.decoded = 0
        self.forwards = 0
        self._model = model
        self._turns = turns_of(model)
        self._threads = threads
        self._scheduler = Scheduler(memory, chunk_tokens)
        self._arrived: deque[Job] = deque()
        # The number of the turn that the event loop has had; 0: there is something to do.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._turn = 0
        self._leaving: list[Job] = []
        self._is_idle = False
        self._is_closing = False
        self._soon: Callable[..., object] = _not_serving
        self._next_turn: Callable[..., object] = _not_serving

    # --- on the event loop ------------------------------------------------------------------

    async def submit(self, job: Job) -> None:
        """Have a job done; return when it is.

        Cancelled while waiting, it leaves at the engine's next step, and only then does this
        return, so that what was computed is known.

        Raises:
            ContextOverflowError: There could never be memory for it.
            ModelCallError: The forward pass failed, or the engine is closed.
        """
        if self._is_closing:
            raise ModelCallError("the model was closed")
        self._arrived.append(job)
        if self._is_idle:
            self._is_idle = False
            self._signals.put(0)
        try:
            await job.progress.finished.wait()
        except anyio.get_cancelled_exc_class():
            job.progress.is_cancelled = True
            with anyio.CancelScope(shield=True):
                await job.progress.finished.wait()
            raise
        if job.progress.error is not None:
            raise job.progress.error

    async def serve(self) -> None:
        """Work on jobs until `close` is called; then fail what is left."""
        self._soon, self._next_turn = _scheduling()
        try:
            await anyio.to_thread.run_sync(self._run, limiter=anyio.CapacityLimiter(1))
        finally:
            self._is_closing = True
            self._fail_rest()
            self.hidden.close()
            self.memory.clear()

    def close(self) -> None:
        """Stop working after the current step; jobs that are not done fail."""
        self._is_closing = True
        self._signals.put(0)

    def _fail_rest(self) -> None:
        for job in (*self._scheduler.jobs, *self._leaving, *self._arrived):
            job.progress.error = job.progress.error or ModelCallError("the model was closed")
            job.progress.finished.set()

    def _hand_over(self, done: Sequence[Job], turn: int) -> None:
        for job in done:
            job.progress.finished.set()
        self._next_turn(self._count_turns, _TURNS, turn)

    def _count_turns(self, left: int, turn: int) -> None:
        if left:
            self._next_turn(self._count_turns, left - 1, turn)
        else:
            self._signals.put(turn)

    # --- on the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        """Make steps until the engine is closed."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while not self._is_closing:
                if self._scheduler.is_idle:
                    self._await_work()
                while self._arrived:
                    self._scheduler.add(self._arrived.popleft())
                if done := self._step():
                    self._scheduler.remove(done)
                    self._turn += 1
                    self._soon(self._hand_over, done, self._turn)
                    self._leaving = []
                    self._await_turn()

    def _await_work(self) -> None:
        """Wait until there is a job, or the engine is closed."""
        # First the flag, then the look: `submit` does it the other way round, so nothing is missed.
        self._is_idle = True
        while not self._arrived and not self._is_closing:
            self._signals.get()
        self._is_idle = False

    def _await_turn(self) -> None:
        """Wait until the event loop has had its turn."""
        with suppress(queue.Empty):
            # A turn that came too late last time is not this one.
            while self._signals.get(timeout=_LONGEST_WAIT_S) < self._turn and not self._is_closing:
                pass

    def _step(self) -> list[Job]:
        """Make one forward pass for all jobs that are admitted; return the jobs done."""
        # Until they are handed over, nobody else knows of these.
        self._leaving = [*self._scheduler.take_cancelled(), *self._scheduler.take_impossible()]
        try:
            shares = self._scheduler.plan()
        except Exception as error:  # noqa: BLE001  # the engine outlives it, its jobs do not
            failed = list(self._scheduler.jobs)
            for job in failed:
                job.progress.fail("planning the pass", error)
            return [*self._leaving, *failed]
        if not shares:
            return self._leaving
        with self._turns:
            return [*self._leaving, *self._forward_split(shares)]

    def _forward_split(self, shares: Sequence[Share]) -> list[Job]:
        """Make the pass; where it fails, in halves: only jobs that fail alone have failed."""
        try:
            return self._forward(shares)
        except BaseException as error:  # noqa: BLE001  # also what a reduction raises to cancel
            log_event("engine.pass_failed", jobs=len(shares), error=repr(error))
            freed = self.memory.drop_resting() if _is_out_of_memory(error) else 0
            if len(shares) > 1:
                half = len(shares) // 2
                return self._forward_split(shares[:half]) + self._forward_split(shares[half:])
            if freed:
                return self._forward_split(shares)
            shares[0].job.progress.fail("the forward pass", error)
            return [shares[0].job]

    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        keys: list[int] = []
        positions: list[int] = []
        pieces: list[Piece] = []
        logit_rows: list[int] = []
        wanted: list[int] = []
        for share in shares:
            job, start = share.job, len(keys)
            job.progress.note_started()
            keys += job.pending[: share.tokens]
            positions += range(job.cache.length, job.cache.length + share.tokens)
            pieces.append(Piece(job.cache, start, len(keys)))
            # Of the wanted rows, those that stand in this share.
            left = len(job.pending) - share.tokens
            count = min(max(job.wanted_rows - left, 0), share.tokens)
            logit_rows += range(len(keys) - count, len(keys))
            wanted.append(count)
        observed = _observed_rows(shares, wanted, keys, logit_rows)
        self.hidden.prepare(keys, logit_rows, observed)
        logits = self._logits(keys, positions, logit_rows, Plan(tuple(pieces)))
        self.forwards += 1
        rows = Rows(logits, self._readings(observed))
        done: list[Job] = []
        start = 0
        for share, count in zip(shares, wanted, strict=True):
            if self._advance(share, rows, start, start + count):
                done.append(share.job)
            start += count
        return done

    def _advance(self, share: Share, rows: Rows, start: int, end: int) -> bool:
        """Give a job the rows it wanted; return whether it is done."""
        job = share.job
        job.cache.advance(job.pending[: share.tokens])
        job.pending = job.pending[share.tokens :]
        of_context = min(share.tokens, len(job.context) - job.progress.cached - job.progress.fed)
        job.progress.fed += of_context
        self.prefilled += of_context
        if start == end:
            return False
        before = job.completion_tokens
        try:
            for row in range(start, end):
                rows.ensure_numbers(row)
            is_done = job.take(rows, start, end)
        except BaseException as error:  # noqa: BLE001  # only this job's reading of them failed
            job.progress.fail("reading the logits", error)
            is_done = True
            if any(rows.is_spoilt(row) for row in range(start, end)):
                # Its entries hold what is no number, and others may have taken them over.
                job.cache.truncate(0)
                self.memory.drop_resting()
        self.decoded += job.completion_tokens - before
        job.progress.note_result()
        return is_done

    def _logits(
        self, keys: list[int], positions: list[int], rows: list[int], plan: Plan
    ) -> torch.Tensor:
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([[token_id(key) for key in keys]], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(rows, device=device, dtype=torch.long),
            plan=plan,
        )
        logits: torch.Tensor = output.logits[0]
        return logits

    def _readings(self, observed: dict[Observer, list[int]]) -> dict[Observer, Reading]:
        return {
            observer: Reading(
                {row: place for place, row in enumerate(rows)}, self.hidden.states(observer, rows)
            )
            for observer, rows in observed.items()
        }


def _observed_rows(
    shares: Sequence[Share], wanted: Sequence[int], keys: Sequence[int], logit_rows: Sequence[int]
) -> dict[Observer, list[int]]:
    """Return which rows of logits each observer reads the state of."""
    found: dict[Observer, list[int]] = {}
    start = 0
    for share, count in zip(shares, wanted, strict=True):
        for observer in share.job.observers:
            for row in range(start, start + count):
                if observer.reads_at(token_id(keys[logit_rows[row]])):
                    found.setdefault(observer, []).append(row)
        start += count
    return found


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On CPU torch has no type for it.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _not_serving(*_: object) -> Any:
    raise ModelCallError("the engine is not serving")


def _scheduling() -> tuple[Callable[..., object], Callable[..., object]]:
    """Return what has the running event loop call a function: from any thread, and from its own."""
    native: Any = anyio.lowlevel.current_token().native_token
    if hasattr(native, "call_soon_threadsafe"):
        return native.call_soon_threadsafe, native.call_soon
    return native.run_sync_soon, native.run_sync_soon
