"""The engine: all sessions' jobs share forward passes, on a thread beside the event loop."""

from collections import deque
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import anyio.to_thread
import torch
from transformers import PreTrainedModel

from collab.errors import ModelCallError
from collab_backends.local.attention import Piece, Plan
from collab_backends.local.jobs import Job
from collab_backends.local.signals import Rows


class Engine:
    """Works on jobs until they are done; any number of them in one forward pass.

    `submit` and `serve` belong to the event loop; everything from `_work` down runs on one
    thread at a time. The thread takes new jobs before every step, so a job joins the others
    at the next step and leaves when it is done.

    Attributes:
        prefilled: Context tokens computed since the start.
        decoded: Positions read for a result: tokens decoded and labels judged.
        forwards: Forward passes.
    """

    def __init__(
        self, model: PreTrainedModel, *, chunk_tokens: int = 512, threads: int | None = None
    ) -> None:
        self.prefilled = 0
        self.decoded = 0
        self.forwards = 0
        self._model = model
        self._chunk_tokens = chunk_tokens
        self._threads = threads
        self._arrived: deque[Job] = deque()
        self._active: list[Job] = []
        self._wake = anyio.Event()
        self._is_closing = False
        self._limiter = anyio.CapacityLimiter(1)

    # --- on the event loop ------------------------------------------------------------------

    async def submit(self, job: Job) -> None:
        """Have a job done; return when it is.

        Cancelled while waiting, it leaves at the engine's next step, and only then does this
        return, so that what was computed is known.

        Raises:
            ModelCallError: The forward pass failed, or the engine is closed.
        """
        if self._is_closing:
            raise ModelCallError("the model was closed")
        self._arrived.append(job)
        self._wake.set()
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
        """Work on jobs until `close` is called or this is cancelled; then fail what is left."""
        try:
            while not self._is_closing:
                await self._wake.wait()
                self._wake = anyio.Event()
                while (self._arrived or self._active) and not self._is_closing:
                    done = await anyio.to_thread.run_sync(self._work, limiter=self._limiter)
                    for job in done:
                        job.progress.finished.set()
                    # Let the sessions just answered ask again, so that they join the next step.
                    await anyio.lowlevel.checkpoint()
        finally:
            self._is_closing = True
            self._fail_rest()

    def close(self) -> None:
        """Stop working; jobs that are not done fail."""
        self._is_closing = True
        self._wake.set()

    def _fail_rest(self) -> None:
        for job in (*self._active, *self._arrived):
            job.progress.error = job.progress.error or ModelCallError("the model was closed")
            job.progress.finished.set()
        self._active.clear()
        self._arrived.clear()

    # --- on the thread ----------------------------------------------------------------------

    def _work(self) -> list[Job]:
        """Make steps until some jobs are done, and return these."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while not self._is_closing:
            while self._arrived:
                self._active.append(self._arrived.popleft())
            done = [job for job in self._active if job.progress.is_cancelled]
            self._active = [job for job in self._active if not job.progress.is_cancelled]
            if self._active:
                done += self._step()
            if done or not self._active:
                return done
        return []

    def _step(self) -> list[Job]:
        """Feed one piece of every active job in one forward pass; return the jobs done.

        If the pass fails, each job gets one of its own: only those that fail alone have failed.
        """
        batch = list(self._active)
        done = self._forward_or_fail(batch)
        if done is None:
            done = [job for one in batch for job in self._forward_or_fail([one]) or []]
        self._active = [job for job in self._active if job not in done]
        return done

    def _forward_or_fail(self, batch: Sequence[Job]) -> list[Job] | None:
        """Return the jobs done, a failed lone one included; `None` if a shared pass failed."""
        try:
            return self._forward(batch)
        except Exception as error:  # noqa: BLE001  # whatever failed, its caller must know
            if len(batch) > 1:
                return None
            batch[0].progress.fail("the forward pass", error)
            return list(batch)

    @torch.inference_mode()
    def _forward(self, batch: Sequence[Job]) -> list[Job]:
        ids: list[int] = []
        positions: list[int] = []
        row_places: list[int] = []
        pieces: list[Piece] = []
        wanted: list[int] = []
        for job in batch:
            job.progress.note_started()
            taken = job.pending[: self._chunk_tokens]
            left = len(job.pending) - len(taken)
            # Of the wanted rows, those that stand in this chunk.
            count = min(max(job.wanted_rows - left, 0), len(taken))
            start = len(ids)
            ids += taken
            positions += range(job.cache.length, job.cache.length + len(taken))
            pieces.append(Piece(job.cache, start, len(ids)))
            row_places += range(len(ids) - count, len(ids))
            wanted.append(count)
        logits = Rows(self._logits(ids, positions, row_places, Plan(tuple(pieces))))
        self.forwards += 1
        done: list[Job] = []
        start = 0
        for job, piece, count in zip(batch, pieces, wanted, strict=True):
            if self._advance(job, piece.end - piece.start, logits, start, start + count):
                done.append(job)
            start += count
        return done

    def _advance(self, job: Job, fed: int, rows: Rows, start: int, end: int) -> bool:
        """Give a job the rows it wanted; return whether it is done."""
        job.cache.advance(fed)
        job.pending = job.pending[fed:]
        self.prefilled += job.progress.note_fed(fed)
        if start == end:
            return False
        before = job.completion_tokens
        try:
            is_done = job.take(rows, start, end)
        except Exception as error:  # noqa: BLE001  # only this job's reading of the logits failed
            job.progress.fail("reading the logits", error)
            is_done = True
        self.decoded += job.completion_tokens - before
        job.progress.note_result()
        return is_done

    def _logits(
        self, ids: list[int], positions: list[int], rows: list[int], plan: Plan
    ) -> torch.Tensor:
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(rows, device=device, dtype=torch.long),
            plan=plan,
        )
        logits: torch.Tensor = output.logits[0]
        return logits
