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

from collab.errors import ModelCallError
from collab_backends.local.jobs import Job
from collab_backends.local.memory import Memory
from collab_backends.local.passes import Passes
from collab_backends.local.scheduler import Scheduler
from collab_backends.local.steering import HiddenStates

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
        passes: How it computes.
        chunk_tokens: Context tokens of one pass; by default what suits the passes.
        threads: CPU threads of one pass; torch's own by default.
    """

    def __init__(
        self, passes: Passes, *, chunk_tokens: int | None = None, threads: int | None = None
    ) -> None:
        self._passes = passes
        self._threads = threads
        self._scheduler = Scheduler(
            passes.memory, chunk_tokens or passes.chunk_tokens, most_jobs=passes.most_jobs
        )
        self._arrived: deque[Job] = deque()
        # The number of the turn that the event loop has had; 0: there is something to do.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._turn = 0
        self._leaving: list[Job] = []
        self._is_idle = False
        self._is_closing = False
        self._soon: Callable[..., object] = _not_serving
        self._next_turn: Callable[..., object] = _not_serving

    @property
    def passes(self) -> Passes:
        """How it computes."""
        return self._passes

    @property
    def memory(self) -> Memory[Any]:
        """Where room for caches comes from."""
        return self._passes.memory

    @property
    def hidden(self) -> HiddenStates:
        """The hooks on the model's hidden states."""
        return self._passes.hidden

    @property
    def prefilled(self) -> int:
        """Context tokens computed since the start."""
        return self._passes.prefilled

    @property
    def decoded(self) -> int:
        """Positions read for a result since the start: tokens decoded and labels judged."""
        return self._passes.decoded

    @property
    def forwards(self) -> int:
        """Forward passes since the start."""
        return self._passes.forwards

    @property
    def host_us_per_step(self) -> float:
        """Microseconds of the host's own work for a decoding step; 0 where it is not measured."""
        return self._passes.host_us_per_step

    @property
    def capture_s(self) -> float:
        """Seconds that graphs were captured for."""
        return self._passes.capture_s

    @property
    def compile_s(self) -> float:
        """Seconds that layers were compiled for."""
        return self._passes.compile_s

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
            self._passes.close()

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
        with torch.inference_mode(), self._passes.working():
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
        return [*self._leaving, *self._passes.step(self._scheduler)]


def _not_serving(*_: object) -> Any:
    raise ModelCallError("the engine is not serving")


def _scheduling() -> tuple[Callable[..., object], Callable[..., object]]:
    """Return what has the running event loop call a function: from any thread, and from its own."""
    native: Any = anyio.lowlevel.current_token().native_token
    if hasattr(native, "call_soon_threadsafe"):
        return native.call_soon_threadsafe, native.call_soon
    return native.run_sync_soon, native.run_sync_soon
