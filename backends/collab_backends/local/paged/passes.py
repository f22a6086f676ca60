"""Passes over pages: contexts are read in pieces, and texts decode ahead of the host."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray

from collab_backends.local.jobs import GenerateJob, Job
from collab_backends.local.paged.decoding import DecodingAhead
from collab_backends.local.paged.frames import MOST_TEXTS, Features, read_shape
from collab_backends.local.paged.launching import Launcher
from collab_backends.local.paged.pages import PAGE_TOKENS, PagedCache, PagedMemory
from collab_backends.local.paged.reading import DeviceRows
from collab_backends.local.paged.taps import sorted_layers
from collab_backends.local.passes import Passes, begin, observed_rows, wanted_rows
from collab_backends.local.scheduler import Scheduler, Share
from collab_backends.local.signals import SignalReading
from collab_backends.local.steering import Observer, reduced, steering_number, token_id


class PagedPasses(Passes):
    """Passes over pages.

    Args:
        launcher: Launches them.
        decodes_ahead: Whether the device goes on before the host has read its last tokens.

    Attributes:
        launcher: Launches them.
    """

    memory: PagedMemory

    def __init__(self, launcher: Launcher, *, decodes_ahead: bool = True) -> None:
        pool = launcher.pool
        super().__init__(launcher.model, PagedMemory(pool.pages, pool.copy_pages), launcher.hidden)
        self.launcher = launcher
        self._rows: dict[Job, int] = {}
        self._free_rows = list(range(MOST_TEXTS - 1, -1, -1))
        self._decoding = DecodingAhead(launcher, self, is_ahead=decodes_ahead)

    @property
    def capture_s(self) -> float:
        """Seconds that graphs were captured for."""
        return self.launcher.capture_s

    @property
    def compile_s(self) -> float:
        """Seconds that layers were compiled for."""
        return self.launcher.compile_s

    @property
    def host_us_per_step(self) -> float:
        """Microseconds of the host's own work for a decoding step, waiting not counted."""
        return self._decoding.host_us

    @property
    def most_jobs(self) -> int:
        """How many jobs can be at work at once."""
        return MOST_TEXTS

    @property
    def chunk_tokens(self) -> int:
        """Context tokens of one pass, where nothing else is asked for."""
        return 2048 if self.launcher.is_cuda else 512

    def working(self) -> AbstractContextManager[object]:
        """Return what the engine's thread works in: the launcher's stream."""
        return self.launcher.working()

    def step(self, scheduler: Scheduler) -> list[Job]:
        """Read what is new of contexts, then launch a decoding step and read the one before."""
        self._decoding.begin_step()
        self._let_go(scheduler)
        try:
            scheduler.admit()
            forwards = self.forwards
            done = self._read(scheduler)
            has_read = self.forwards > forwards
            done += self._decoding.step(scheduler, is_counted=not has_read)
        except Exception as error:  # noqa: BLE001  # the engine outlives it, its jobs do not
            done = self._fail_all(scheduler, error)
        for job in done:
            self._leave(job)
        return done

    def close(self) -> None:
        """Let go of all memory, hooks and graphs."""
        super().close()
        self.launcher.close()

    def row(self, job: Job) -> int:
        """Return the row of a job's block table."""
        if job not in self._rows:
            self._rows[job] = self._free_rows.pop()
        return self._rows[job]

    # --- contexts ---------------------------------------------------------------------------

    def _read(self, scheduler: Scheduler) -> list[Job]:
        """Compute the next pieces of contexts; return the jobs done."""
        room = scheduler.chunk_tokens
        shares: list[Share] = []
        self._go_on(scheduler)
        for job in scheduler.active:
            if room <= 0 or self._decoding.has(job):
                continue
            tokens = min(len(job.pending), room)
            if self._decoding.secure(scheduler, job, job.cache.length + tokens):
                shares.append(Share(job, tokens))
                room -= tokens
        early = self._decoding.take_done()
        # Who gave way to an older one meanwhile is not computed.
        active = set(scheduler.active)
        shares = [share for share in shares if share.job in active]
        if not shares:
            return early
        done = self._forward_split(shares)
        gone = set(done)
        for share in shares:
            if share.job not in gone and not share.job.left_of_context:
                self._decoding.add(share.job)
        return early + done

    def _go_on(self, scheduler: Scheduler) -> None:
        """Have texts decode at once of whose contexts only the last token is not computed."""
        ready = [
            job
            for job in scheduler.active
            if isinstance(job, GenerateJob)
            and len(job.pending) == 1
            and not self._decoding.has(job)
            and job.pending == [job.writing.key(token_id(job.pending[0]))]
        ]
        if ready:
            with self.launcher.launching():
                self._set_tables(ready)
            for job in ready:
                job.progress.note_started()
                self._decoding.add(job)

    def _set_tables(self, jobs: Sequence[Job]) -> None:
        rows, pages = [], []
        for job in jobs:
            assert isinstance(job.cache, PagedCache), "this memory makes no others"
            rows.append(self.row(job))
            pages.append(job.cache.pages)
        self.launcher.pool.set_tables(rows, pages)

    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        launcher = self.launcher
        keys: list[int] = []
        rows: list[int] = []
        wanted = [wanted_rows(share) for share in shares]
        for share, count in zip(shares, wanted, strict=True):
            begin(share)
            keys += share.job.pending[: share.tokens]
            rows += range(len(keys) - count, len(keys))
        tokens = self._tokens(shares, np.asarray(keys))
        observed = observed_rows(shares, wanted, [keys[row] for row in rows])
        features = Features(
            observed=sorted_layers(observer.layer for observer in observed),
            steered=launcher.steerings.layers if tokens[:, -1].any() else (),
        )
        with launcher.launching():
            frame, launch = launcher.read(*read_shape(len(tokens), len(rows)), features)
            self._set_tables([share.job for share in shares])
            frame.load(tokens, self._blocks(shares, frame.block_tokens), rows)
            computed = launch()
            self.forwards += 1
        assert computed.logits is not None, "contexts have logits"
        found = {
            observer: self._reading(observer, places, computed.states[observer.layer])
            for observer, places in observed.items()
        }
        return self._take(shares, wanted, DeviceRows(computed.logits[: len(rows)], found))

    def _tokens(self, shares: Sequence[Share], keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return of each token its id, position, slot and steering, `(T, 4)`."""
        places, slots = [], []
        for share in shares:
            cache = share.job.cache
            assert isinstance(cache, PagedCache), "this memory makes no others"
            place = np.arange(cache.length, cache.length + share.tokens)
            page = np.asarray(cache.pages)[place // PAGE_TOKENS]
            places.append(place)
            slots.append(page * PAGE_TOKENS + place % PAGE_TOKENS)
        numbers = steering_number(keys)
        steers = np.zeros_like(keys)
        for number in np.unique(numbers[numbers > 0]).tolist():
            steers[numbers == number] = self._steering(number)
        columns = (token_id(keys), np.concatenate(places), np.concatenate(slots), steers)
        return np.stack(columns, axis=1)

    def _reading(
        self, observer: Observer, places: list[int], states: torch.Tensor
    ) -> SignalReading:
        rows = states[torch.tensor(places, device=states.device)]
        order = {row: place for place, row in enumerate(places)}
        return SignalReading(order, reduced(observer, rows))

    def _blocks(
        self, shares: Sequence[Share], block_tokens: int
    ) -> list[tuple[int, int, int, int]]:
        blocks = []
        first = 0
        for share in shares:
            for start in range(0, share.tokens, block_tokens):
                count = min(block_tokens, share.tokens - start)
                place = share.job.cache.length + start
                blocks.append((self.row(share.job), first + start, count, place))
            first += share.tokens
        return blocks

    def _steering(self, number: int) -> int:
        steer = self.hidden.steering(number)
        assert steer is not None, "whoever wrote the key holds its steering"
        return self.launcher.steerings.place(steer)

    # --- jobs -------------------------------------------------------------------------------

    def one_by_one(self, shares: Sequence[Share]) -> list[Job]:
        """Compute shares without decoding ahead, so that only what fails alone has failed."""
        return self._forward_split(shares)

    def _let_go(self, scheduler: Scheduler) -> None:
        """Forget jobs that left without being done: cancelled ones, and those that gave way."""
        if self._rows:
            active = set(scheduler.active)
            for job in [job for job in self._rows if job not in active]:
                self._leave(job)

    def _leave(self, job: Job) -> None:
        self._decoding.forget(job)
        if job in self._rows:
            self._free_rows.append(self._rows.pop(job))
