"""Decoding ahead: the device begins the next step before the host has read the last.

The next tokens are chosen on the device and fed from there. The host reads a step's results while
the next one is computed. A text that turns out to have ended has wasted one position: it is
dropped, is not counted, and the random number drawn for it is given back.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import torch

from collab.errors import ModelCallError
from collab.signals import Observed
from collab.telemetry.events import log_event
from collab_backends.local.jobs import GenerateJob, Job
from collab_backends.local.paged.frames import MOST_TEXTS, Features
from collab_backends.local.paged.launching import Computed, Launcher
from collab_backends.local.paged.pages import PAGE_TOKENS, PagedCache
from collab_backends.local.paged.reading import (
    ENTROPIES,
    ID,
    LOG_SUM,
    LOGIT,
    SECOND,
    TOP,
    candidates_in,
)
from collab_backends.local.paged.taps import sorted_layers
from collab_backends.local.sampler import Drawn
from collab_backends.local.scheduler import Scheduler, Share
from collab_backends.local.signals import NOT_NUMBERS, SignalReading
from collab_backends.local.steering import Observer, reduced, token_id


class Jobs(Protocol):
    """Who has the jobs that decode.

    Attributes:
        forwards: Forward passes.
    """

    forwards: int

    def row(self, job: Job) -> int:
        """Return the row of a job's block table."""
        ...

    def note_computed(self, job: Job, tokens: int) -> None:
        """Take note that entries of a job's next pending tokens were computed."""
        ...

    def hand_over(self, job: Job, read: Callable[[], bool], is_spoilt: Callable[[], bool]) -> bool:
        """Have a job read its results; return whether it is done, or failed to read them."""
        ...

    def one_by_one(self, shares: Sequence[Share]) -> list[Job]:
        """Compute shares without decoding ahead, so that only what fails alone has failed."""
        ...


@dataclass(slots=True, eq=False)
class _Flight:
    """A step that was launched: by row, whose it is and the random number drawn for it."""

    jobs: list[GenerateJob | None]
    uniforms: list[float]
    features: Features
    rows: dict[Job, int]
    numbers: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    readings: dict[Observer, SignalReading] = field(default_factory=dict)
    landed: torch.cuda.Event | None = None

    def drop(self, job: Job) -> None:
        """Forget a text's row."""
        if (row := self.rows.pop(job, None)) is not None:
            dropped, self.jobs[row] = self.jobs[row], None
            assert dropped is not None, "a row is dropped once"
            _give_back(dropped, self.uniforms[row])


class DecodingAhead:
    """The texts that decode, and the step that is being computed.

    Args:
        launcher: Launches steps.
        jobs: Who has the jobs.
        is_ahead: Whether to launch a step before the results of the last are read.

    Attributes:
        host_us: The host's own work for a step, in microseconds, as a mean over all steps.
    """

    def __init__(self, launcher: Launcher, jobs: Jobs, *, is_ahead: bool) -> None:
        self._launcher = launcher
        self._owner = jobs
        self._is_ahead = is_ahead
        self._jobs: dict[Job, None] = {}
        self._flight: _Flight | None = None
        self._done: list[Job] = []
        self._started = self._waited_s = self._host_s = 0.0
        self._counted = 0

    @property
    def host_us(self) -> float:
        """Mean over all steps in which no context was read."""
        return 1e6 * self._host_s / max(self._counted, 1)

    def has(self, job: Job) -> bool:
        """Whether a job's text decodes."""
        return job in self._jobs

    def add(self, job: Job) -> None:
        """Have a job's text decode from now on; its context is computed."""
        self._jobs[job] = None

    def forget(self, job: Job) -> None:
        """Let go of a job; what is being computed for it is dropped."""
        self._jobs.pop(job, None)
        if self._flight is not None:
            self._flight.drop(job)

    def begin_step(self) -> None:
        """Take note of when a step of the engine begins."""
        self._started, self._waited_s = perf_counter(), 0.0

    def secure(self, scheduler: Scheduler, job: Job, tokens: int) -> bool:
        """Let a job's text grow to `tokens`; whether it may, and is still active.

        Before others have to give way, the step in flight is read.
        """
        if scheduler.has_room(job, tokens):
            return True
        self._drain(scheduler)
        return scheduler.secure(job, tokens)

    def take_done(self) -> list[Job]:
        """Return the jobs that were done in between."""
        done, self._done = self._done, []
        return done

    def step(self, scheduler: Scheduler, *, is_counted: bool) -> list[Job]:
        """Launch the next step and read the one before; return the jobs done.

        Args:
            scheduler: Knows the jobs at work.
            is_counted: Whether the host did nothing else since `begin_step`.
        """
        ready = self._ready(scheduler)
        flight: _Flight | None = None
        if ready:
            try:
                flight = self._launch(ready)
            except BaseException as error:  # noqa: BLE001  # the engine outlives it
                log_event("engine.pass_failed", jobs=len(ready), error=repr(error))
                self._drain(scheduler)
                left = [Share(job, 1) for job in ready if job in self._jobs]
                self._done += self._owner.one_by_one(left) if left else []
        self._done += self._collect(self._flight, flight)
        self._flight = flight
        if not self._is_ahead:
            self._drain(scheduler)
        if flight is not None and is_counted:
            self._host_s += perf_counter() - self._started - self._waited_s
            self._counted += 1
        return self.take_done()

    def _ready(self, scheduler: Scheduler) -> list[GenerateJob]:
        """Return the jobs that want a further token, whatever the step in flight gives."""
        ready: list[GenerateJob] = []
        for job in scheduler.active:
            if isinstance(job, GenerateJob) and job in self._jobs and len(ready) < MOST_TEXTS:
                flying = self._is_flying(job)
                if job.room > flying and self.secure(scheduler, job, job.cache.length + flying + 1):
                    ready.append(job)
        active = set(scheduler.active)
        return [job for job in ready if job in active and job in self._jobs]

    def _is_flying(self, job: Job) -> int:
        return int(self._flight is not None and job in self._flight.rows)

    def _launch(self, jobs: Sequence[GenerateJob]) -> _Flight:
        launcher, samplers = self._launcher, [job.writing.sampler for job in jobs]
        flying = [self._is_flying(job) for job in jobs]
        places = [job.cache.length + ahead for job, ahead in zip(jobs, flying, strict=True)]
        features = self._features(jobs)
        uniforms = [0.0 if one.sampling.is_greedy else one.stream.random() for one in samplers]
        rows: dict[Job, int] = {job: row for row, job in enumerate(jobs)}
        flight = _Flight([*jobs], uniforms, features, rows)
        try:
            with launcher.launching():
                frame, launch = launcher.decode(len(jobs), features)
                columns = (
                    [self._owner.row(job) for job in jobs],
                    places,
                    [_page(job, place) for job, place in zip(jobs, places, strict=True)],
                    [
                        -1 if ahead else token_id(job.pending[0])
                        for job, ahead in zip(jobs, flying, strict=True)
                    ],
                    [self._steering(job) for job in jobs],
                    [one.sampling.top_k for one in samplers],
                )
                floats = (
                    uniforms,
                    [
                        0.0 if one.sampling.is_greedy else one.sampling.temperature
                        for one in samplers
                    ],
                    [one.sampling.top_p for one in samplers],
                )
                frame.load(columns, floats)
                self._land(flight, launch())
        except BaseException:
            for job in jobs:
                flight.drop(job)
            raise
        self._owner.forwards += 1
        return flight

    def _features(self, jobs: Sequence[GenerateJob]) -> Features:
        sampled = [
            job.writing.sampler.sampling
            for job in jobs
            if not job.writing.sampler.sampling.is_greedy
        ]
        # Placed first: that is what makes a layer one that is steered.
        steerings = [self._steering(job) for job in jobs]
        return Features(
            top_ks=sorted_layers(
                top_k for job in jobs if (top_k := job.writing.sampler.signals.entropy_top_k)
            ),
            candidates=max(job.writing.sampler.signals.top_k for job in jobs),
            samples=bool(sampled),
            filters=any(one.top_k or one.top_p < 1.0 for one in sampled),
            observed=sorted_layers(one.layer for job in jobs for one in job.observers),
            steered=self._launcher.steerings.layers if any(steerings) else (),
        )

    def _steering(self, job: GenerateJob) -> int:
        steer = job.writing.steer
        return 0 if steer is None else self._launcher.steerings.place(steer)

    def _land(self, flight: _Flight, computed: Computed) -> None:
        """Have results copied to the host after what was launched."""
        assert computed.numbers is not None, "texts that decode have numbers"
        count = len(flight.jobs)
        flight.numbers = _to_host(computed.numbers[:count])
        rows: dict[Observer, list[int]] = {}
        for row, job in enumerate(flight.jobs):
            for observer in job.observers if job is not None else ():
                rows.setdefault(observer, []).append(row)
        for observer, places in rows.items():
            states = computed.states[observer.layer][:count]
            if len(places) < count:
                states = states[torch.tensor(places).to(states.device)]
            order = {row: place for place, row in enumerate(places)}
            flight.readings[observer] = SignalReading(
                order, _to_host(reduced(observer, states).float())
            )
        if computed.numbers.device.type == "cuda":
            flight.landed = torch.cuda.current_stream().record_event()

    def _drain(self, scheduler: Scheduler) -> None:
        """Read the step in flight, so that all that is known of its texts is known."""
        done = self._collect(self._flight, None)
        self._flight = None
        scheduler.remove(done)
        self._done += done

    def _collect(self, flight: _Flight | None, following: _Flight | None) -> list[Job]:
        """Give jobs the tokens of a step; return the jobs done."""
        if flight is None:
            return []
        if flight.landed is not None:
            started = perf_counter()
            flight.landed.synchronize()
            self._waited_s += perf_counter() - started
        done: list[Job] = []
        for place, (job, numbers) in enumerate(
            zip(flight.jobs, flight.numbers.tolist(), strict=True)
        ):
            if job is not None and self._take(flight, place, job, numbers):
                done.append(job)
                self._jobs.pop(job, None)
                if following is not None:
                    following.drop(job)
        return done

    def _take(self, flight: _Flight, row: int, job: GenerateJob, numbers: list[float]) -> bool:
        """Give a job its token; return whether it is done."""
        self._owner.note_computed(job, 1)
        return self._owner.hand_over(
            job,
            lambda: job.accept(_drawn(job, flight, numbers), _observed(job, flight, row)),
            lambda: not math.isfinite(numbers[LOG_SUM]),
        )


def _drawn(job: GenerateJob, flight: _Flight, numbers: list[float]) -> Drawn:
    if not math.isfinite(numbers[LOG_SUM]):
        raise ModelCallError(NOT_NUMBERS)
    signals = job.writing.sampler.signals
    top_k, top_ks = signals.entropy_top_k, flight.features.top_ks
    place = ENTROPIES + top_ks.index(top_k) if top_k else 0
    return Drawn(
        int(numbers[ID]),
        min(numbers[LOGIT] - numbers[LOG_SUM], 0.0),
        numbers[TOP] - numbers[SECOND],
        numbers[place] if top_k else None,
        candidates_in(numbers, top_ks, signals.top_k) if signals.top_k else (),
    )


def _observed(job: GenerateJob, flight: _Flight, row: int) -> Observed:
    """Return what was read at the token from which this one was drawn, where a gate selects it."""
    if not job.observers:
        return {}
    fed = token_id(job.cache.tokens[-1])
    return {
        observer.name: found
        for observer in job.observers
        if observer.reads_at(fed) and (found := flight.readings[observer].at(row)) is not None
    }


def _page(job: Job, place: int) -> int:
    cache = job.cache
    assert isinstance(cache, PagedCache), "this memory makes no others"
    return cache.pages[place // PAGE_TOKENS]


def _give_back(job: GenerateJob, uniform: float) -> None:
    sampler = job.writing.sampler
    if not sampler.sampling.is_greedy:
        sampler.stream.give_back(uniform)


def _to_host(numbers: torch.Tensor) -> torch.Tensor:
    """Return a copy that is there once the device has come to it."""
    if numbers.device.type != "cuda":
        return numbers.clone()
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    return host.copy_(numbers, non_blocking=True)
