"""The controller: connects a pair of models and works on problems with a recipe."""

import hashlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream, TaskGroup

from collab.capabilities import Capabilities, inexact_modes, match_needs, needed_top_k
from collab.concurrency import is_asked_to_stop, unwrapped
from collab.controller.committer import Committer, Emit
from collab.controller.connecting import Connections
from collab.controller.guarded import PluginSessions
from collab.controller.loop import ProblemLoop
from collab.controller.metered import MeteredSession
from collab.controller.participant import Participant
from collab.controller.result import CANCELLED, ERROR, Finished, Result
from collab.errors import (
    ConfigError,
    EmptyPromptError,
    InvalidPromptError,
    ProblemError,
)
from collab.limits import Budget, BudgetReached
from collab.problems import Problem
from collab.recipes import Recipe, RecipeFactory, made
from collab.roles import GENERATOR, MENTOR
from collab.seam import ConsultationBackend, Model
from collab.signals import Signals
from collab.telemetry.events import log_event
from collab.telemetry.spans import traced_problem
from collab.texts import is_unicode
from collab.trace import Ended, Trace, TraceEvent
from collab.usage import Ledger
from collab.verdicts import NOBODY
from collab.views import ThinkingTags, View

StreamEvent = TraceEvent | Finished
"""What `Controller.stream` delivers."""

_NO_BUDGET = Budget()
_STREAM_BUFFER = 16


@dataclass(slots=True)
class _Work:
    """What is known of a problem while it is worked on."""

    problem: Problem
    trace: Trace = field(default_factory=Trace)
    ledger: Ledger = field(default_factory=Ledger)
    started: float = field(default_factory=perf_counter)


class Controller:
    """Works on problems: the generator writes, mentors speak where the recipe asks them to.

    Use it as an async context manager: entering connects the models and checks that they can
    do what the recipe needs; leaving releases them. Any number of problems may be in work at a
    time; what becomes of one depends only on the problem, the seed and the models.

    Args:
        generator: How to reach the model that writes.
        mentor: How to reach the mentor, or mentors by name; `None` for a generator alone.
        recipe: How problems are worked on, or a factory of it.
        seed: Of every random choice, together with the problem's id.
        budget: What one problem may spend.

    Attributes:
        on_abandoned: Called with each result that no one receives, so that its paid calls can be
            kept: of a problem cancelled in the middle, with its partial text and the reason
            `cancelled`, or of one that was finished just before. Must not wait for anything.
    """

    def __init__(
        self,
        *,
        generator: ConsultationBackend,
        mentor: ConsultationBackend | Mapping[str, ConsultationBackend] | None = None,
        recipe: Recipe | RecipeFactory,
        seed: int = 0,
        budget: Budget = _NO_BUDGET,
    ) -> None:
        self.on_abandoned: Callable[[Result], None] = _drop
        self.recipe = recipe if isinstance(recipe, Recipe) else made(recipe)
        self.seed = seed
        self.budget = budget
        self.degradations: tuple[str, ...] = ()
        self._backends = {GENERATOR: generator, **_mentors(mentor)}
        self._models: dict[str, Model] = {}
        self._stack = AsyncExitStack()
        self._entered_by = 0

    async def __aenter__(self) -> Self:
        """Connect the models; equal backends share one model.

        Raises:
            ModelLoadError: A model cannot be loaded or reached.
            CapabilityError: The models cannot do what the recipe's plug-ins need.
        """
        if self._models:
            raise ConfigError("the controller is connected already; use one block at a time")
        async with AsyncExitStack() as stack:
            connections, models = Connections(stack), dict[str, Model]()
            for role, backend in self._backends.items():
                models[role] = await connections.connect(role, backend)
            capabilities = {role: model.capabilities for role, model in models.items()}
            self._ensure_layers(capabilities[GENERATOR])
            self.degradations = (
                *match_needs(self.recipe.needs, capabilities),
                *inexact_modes(capabilities),
            )
            self._stack, self._models = stack.pop_all(), models
            self._entered_by = anyio.get_current_task().id
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the models.

        Raises:
            ConfigError: Another task than the one that entered leaves, as cells of a notebook do.
        """
        if anyio.get_current_task().id != self._entered_by:
            raise ConfigError(
                "the controller is left in another task than the one that entered it; in a "
                "notebook use `collab.BlockingController`, or one `async with` block in one cell"
            )
        self._models = {}
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def models(self) -> Mapping[str, Model]:
        """The connected models, by participant; none outside of the block."""
        return MappingProxyType(self._models)

    async def solve(self, problem: Problem | str) -> Result:
        """Answer one problem.

        Never raises for what goes wrong with the problem itself: that is the result's `error`,
        beside the partial answer. See `Result.raise_for_error`.
        """
        return await self._work_on(_as_problem(problem), _emit_nothing)

    @asynccontextmanager
    async def stream(
        self, problem: Problem | str
    ) -> AsyncIterator[ObjectReceiveStream[StreamEvent]]:
        """Answer one problem, delivering events as they happen; the last is `Finished`.

        The problem waits for its reader: at most 16 events are kept. Leaving the block early
        cancels the problem.
        """
        sender, receiver = anyio.create_memory_object_stream[StreamEvent](_STREAM_BUFFER)

        async def work() -> None:
            with anyio.CancelScope() as scope:

                async def send(event: StreamEvent) -> None:
                    try:
                        await sender.send(event)
                    except anyio.BrokenResourceError:  # the reader closed its end
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()

                async with sender:
                    result = await self._work_on(_as_problem(problem), send)
                    with self._abandoning(result):
                        await send(Finished(result))

        with unwrapped():
            async with receiver, anyio.create_task_group() as group:
                group.start_soon(work)
                yield receiver
                group.cancel_scope.cancel()

    @asynccontextmanager
    async def map(
        self, problems: Iterable[Problem | str], *, concurrency: int = 8
    ) -> AsyncIterator[ObjectReceiveStream[Result]]:
        """Answer many problems, at most `concurrency` at a time, delivering each as it finishes.

        Problems are taken from the iterable only when there is room for them. Leaving
        the block early cancels those in work.
        """
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
        source = iter(problems)
        sender, receiver = anyio.create_memory_object_stream[Result](0)

        async def work(workers: TaskGroup) -> None:
            for problem in source:
                result = await self.solve(problem)
                with self._abandoning(result):
                    try:
                        await sender.send(result)
                    except anyio.BrokenResourceError:  # the reader closed its end
                        workers.cancel_scope.cancel()
                        await anyio.lowlevel.checkpoint()

        async def work_on_all() -> None:
            with unwrapped():
                async with sender, anyio.create_task_group() as workers:
                    for _ in range(concurrency):
                        workers.start_soon(work, workers)

        with unwrapped():
            async with receiver, anyio.create_task_group() as group:
                group.start_soon(work_on_all)
                yield receiver
                group.cancel_scope.cancel()

    # --- one problem ------------------------------------------------------------------------

    async def _work_on(self, problem: Problem, emit: Emit) -> Result:
        self._ensure_connected()
        with traced_problem(problem.id, self.recipe.name) as span:
            result = await self._result_of(problem, emit)
            span.tell(result.reason, result.error, result.mentor_share)
            return result

    async def _result_of(self, problem: Problem, emit: Emit) -> Result:
        work = _Work(problem)
        log_event("problem.started", problem=problem.id)
        error: Exception | None = None
        try:
            reason = await self._run_within_deadline(work, emit)
        except anyio.get_cancelled_exc_class() as raised:
            if is_asked_to_stop():
                self.on_abandoned(self._result(work, CANCELLED))
                raise
            reason, error = ERROR, ProblemError(f"the problem was cancelled: {raised!r}")
        except Exception as raised:  # noqa: BLE001  # a failure belongs to one problem
            reason, error = ERROR, raised
        await emit(work.trace.record(Ended(reason)))
        log_event("problem.ended", problem=problem.id, reason=reason, error=repr(error or ""))
        return self._result(work, reason, error)

    @contextmanager
    def _abandoning(self, result: Result) -> Iterator[None]:
        """Hand a result over to `on_abandoned` if its delivery is cancelled."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            self.on_abandoned(result)
            raise

    def _result(self, work: _Work, reason: str, error: Exception | None = None) -> Result:
        return Result(
            problem=work.problem,
            reason=reason,
            spans=work.trace.spans,
            events=tuple(work.trace.events),
            calls=work.ledger.settled(i for span in work.trace.spans for i in span.calls),
            duration_s=perf_counter() - work.started,
            degradations=self.degradations,
            error=error,
            thinking=self._thinking,
        )

    async def _run_within_deadline(self, work: _Work, emit: Emit) -> str:
        _check_prompt(work.problem)
        with anyio.move_on_after(self.budget.deadline_s):
            async with self._participants(work) as participants:
                plugins = PluginSessions.start(
                    self.recipe, work.problem, partial(self._rng, work.problem)
                )
                committer = Committer(
                    work.trace, participants, emit, repeat_limit=self.recipe.repeat_limit
                )
                return await ProblemLoop(self.recipe, plugins, participants, committer).run()
        return "budget: deadline_s"

    @asynccontextmanager
    async def _participants(self, work: _Work) -> AsyncIterator[dict[str, Participant]]:
        def guard(role: str) -> None:
            if bound := self.budget.spent(work.ledger.usage, next_role=role):
                raise BudgetReached(bound)

        participants: dict[str, Participant] = {}
        trace_tags = self._backends[GENERATOR].view.thinking
        async with AsyncExitStack() as stack:
            for role, model in self._models.items():
                backend, signals = self._backends[role], self._signals(role)
                session = await stack.enter_async_context(
                    model.open(
                        View(role, work.problem.prompt, backend.view),
                        seed=self._rng(work.problem, role).getrandbits(63),
                        signals=signals,
                    )
                )
                metered = MeteredSession(
                    session,
                    work.ledger,
                    role=role,
                    model=model,
                    price=backend.price,
                    guard=guard,
                )
                participants[role] = Participant(
                    role,
                    metered,
                    own_tags=backend.view.thinking,
                    trace_tags=trace_tags,
                    is_observed=bool(signals.observations),
                )
            yield participants

    @property
    def _thinking(self) -> ThinkingTags | None:
        """The tags between which texts think aloud: the generator's own, or the recipe's."""
        tags, phases = self._backends[GENERATOR].view.thinking, self.recipe.phases
        return ThinkingTags(closing=phases.thinking_end) if phases and not tags else tags

    def _ensure_layers(self, generator: Capabilities) -> None:
        layers = [one.layer for one in self.recipe.policy.observations]
        if generator.blocks is not None and max(layers, default=0) > generator.blocks:
            raise ConfigError(
                f"{type(self.recipe.policy).__name__} observes layer {max(layers)}, which is out "
                f"of range; the generator has {generator.blocks} blocks, so layers 0 to "
                f"{generator.blocks}"
            )

    def _signals(self, role: str) -> Signals:
        signals = Signals(top_k=needed_top_k(self.recipe.needs, role))
        if role != GENERATOR:
            return signals
        policy = self.recipe.policy
        can_observe = self._models[GENERATOR].capabilities.has_hidden_states
        return replace(
            signals,
            entropy_top_k=policy.entropy_top_k,
            observations=tuple(policy.observations) if can_observe else (),
        )

    def _rng(self, problem: Problem, stream: str) -> random.Random:
        """Return a problem's own random stream, the same whatever runs beside it."""
        digest = hashlib.sha256(f"{self.seed}\0{problem.id}\0{stream}".encode()).digest()
        return random.Random(int.from_bytes(digest, "big"))

    def _ensure_connected(self) -> None:
        if not self._models:
            raise ConfigError("the controller is not connected; use `async with controller:`")


def _mentors(
    mentor: ConsultationBackend | Mapping[str, ConsultationBackend] | None,
) -> dict[str, ConsultationBackend]:
    if mentor is None:
        return {}
    if not isinstance(mentor, Mapping):
        return {MENTOR: mentor}
    if bad := {GENERATOR, NOBODY} & set(mentor):
        raise ConfigError(f"{bad.pop()!r} cannot be a mentor's name")
    return dict(mentor)


def _check_prompt(problem: Problem) -> None:
    if not problem.text.strip():
        raise EmptyPromptError(f"problem {problem.id!r} has an empty prompt")
    if not is_unicode(problem.text):
        raise InvalidPromptError(
            f"the prompt of problem {problem.id!r} contains half a character (a lone surrogate); "
            "read its text as UTF-8"
        )


def _as_problem(problem: Problem | str) -> Problem:
    return Problem(prompt=problem) if isinstance(problem, str) else problem


def _drop(result: Result) -> None:
    """Drop what there is of a cancelled problem."""


async def _emit_nothing(event: TraceEvent) -> None:
    """Drop an event: nobody listens, and it stays in the trace."""
