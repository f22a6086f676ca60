"""Answering one request: its participants, its strategy, and the result, whatever happens."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import perf_counter

import anyio

from collab.capabilities import needed_top_k
from collab.concurrency import first_error, is_asked_to_stop
from collab.controller.cast import Cast
from collab.controller.committer import Committer, Emit
from collab.controller.connecting import ConnectedModels
from collab.controller.desk import ProblemDesk
from collab.controller.guarded import blamed
from collab.controller.loop import ThreeStageLoop
from collab.controller.metered import MeteredSession
from collab.controller.participant import Participant
from collab.controller.phased import has_thought, write_answer
from collab.controller.progress import MOVES_PER_TOKEN, Progress
from collab.controller.request import Request
from collab.controller.result import Result
from collab.endings import REASONS, Ending
from collab.errors import CollabError, PluginCallError, ProblemError
from collab.limits import BudgetReached, EndReached
from collab.roles import GENERATOR
from collab.signals import Signals
from collab.telemetry.events import log_event
from collab.telemetry.spans import traced_problem
from collab.trace import Ended, Trace
from collab.usage import Ledger
from collab.views import ThinkingTags, View


class Answering:
    """The work on one request.

    Args:
        request: What is asked.
        connected: Whom it can be asked of.
        on_abandoned: Called with the result of work that is cancelled in the middle.
    """

    def __init__(
        self,
        request: Request,
        connected: ConnectedModels,
        on_abandoned: Callable[[Result], None],
    ) -> None:
        self.trace = Trace()
        self._request = request
        self._recipe = request.recipe
        self._needs = request.recipe.needs
        self._connected = connected
        self._on_abandoned = on_abandoned
        self._ledger = Ledger()
        self._progress = Progress(MOVES_PER_TOKEN * request.recipe.max_answer_tokens)
        self._started = perf_counter()

    async def result(self, emit: Emit) -> Result:
        """Work until the problem is over; `emit` is given every event of the trace."""
        problem = self._request.problem
        with traced_problem(problem.id, self._recipe.name) as span:
            log_event("problem.started", problem=problem.id)
            result = await self._whatever_happens(emit)
            log_event(
                "problem.ended",
                problem=problem.id,
                reason=str(result.ending),
                error=repr(result.error or ""),
            )
            span.tell(result.reason, result.error, result.mentor_share)
            return result

    async def _whatever_happens(self, emit: Emit) -> Result:
        error: Exception | None = None
        try:
            ending = await self._within_deadline(emit)
        except anyio.get_cancelled_exc_class() as raised:
            if is_asked_to_stop():
                self._on_abandoned(self._result(Ending("cancelled")))
                raise
            error = ProblemError(f"the problem was cancelled: {raised!r}")
            ending = Ending("error")
        except Exception as raised:  # noqa: BLE001  # a failure belongs to one problem
            ending, error = Ending("error"), raised
        await emit(self.trace.record(Ended(ending.reason, ending.detail)))
        return self._result(ending, error)

    def _result(self, ending: Ending, error: Exception | None = None) -> Result:
        spans = self.trace.spans
        return Result(
            problem=self._request.problem,
            ending=ending,
            spans=spans,
            events=tuple(self.trace.events),
            calls=self._ledger.settled(i for span in spans for i in span.calls),
            duration_s=perf_counter() - self._started,
            degradations=self._request.degradations,
            error=error,
            thinking=self._thinking,
            kept=self._progress.kept,
        )

    async def _within_deadline(self, emit: Emit) -> Ending:
        self._request.check_prompt()
        with anyio.move_on_after(self._request.budget.deadline_s):
            async with self._cast() as cast:
                committer = Committer(
                    self.trace, cast.by_name, emit, repeat_limit=self._recipe.repeat_limit
                )
                desk = ProblemDesk(self._request, cast, committer, self._progress)
                try:
                    return await self._written(desk, cast, committer)
                except EndReached as reached:
                    return reached.ending
                finally:
                    self._progress.shut()
                    await desk.leave()
        return Ending("budget", "deadline_s")

    async def _written(self, desk: ProblemDesk, cast: Cast, committer: Committer) -> Ending:
        """Have the strategy write, and after its thinking the recipe's author the answer."""
        ending = await self._run_strategy(desk)
        phases = self._recipe.phases
        if phases is None or not has_thought(ending, phases):
            return ending
        desk.steer(None)
        return await write_answer(self._recipe, phases, cast, committer, ending)

    async def _run_strategy(self, desk: ProblemDesk) -> Ending:
        strategy = self._recipe.strategy
        if strategy is None:
            return await ThreeStageLoop(self._recipe).run(desk)
        plugin = f"strategy {type(strategy).__name__!r}"
        with blamed(plugin, "in run()", passing=(CollabError, EndReached)), first_error():
            ending = await strategy.run(desk)
        return _checked(plugin, ending, desk)

    @asynccontextmanager
    async def _cast(self) -> AsyncIterator[Cast]:
        participants: dict[str, Participant] = {}
        async with AsyncExitStack() as stack:
            for role in self._connected.models:
                participants[role] = await stack.enter_async_context(self._participant(role))
            yield Cast(participants, self._connected.judging)

    @asynccontextmanager
    async def _participant(self, role: str) -> AsyncIterator[Participant]:
        model, backend = self._connected.models[role], self._connected.backends[role]
        signals = self._signals(role)
        view = View(role, self._request.problem.prompt, backend.view)
        seed = self._request.rng(role).getrandbits(63)
        async with model.open(view, seed=seed, signals=signals) as session:
            metered = MeteredSession(
                session,
                self._ledger,
                role=role,
                model=model,
                price=backend.price,
                guard=self._guard,
            )
            yield Participant(
                role,
                metered,
                own_tags=backend.view.thinking,
                trace_tags=self._connected.backends[GENERATOR].view.thinking,
                is_observed=bool(signals.observations),
            )

    def _guard(self, role: str) -> None:
        if bound := self._request.budget.spent(self._ledger.usage, next_role=role):
            raise BudgetReached(bound)

    @property
    def _thinking(self) -> ThinkingTags | None:
        """The tags between which texts think aloud: the generator's own, or the recipe's."""
        tags, phases = self._connected.backends[GENERATOR].view.thinking, self._recipe.phases
        return ThinkingTags(closing=phases.thinking_end) if phases and not tags else tags

    def _signals(self, role: str) -> Signals:
        signals = Signals(top_k=needed_top_k(self._needs, role))
        if role != GENERATOR:
            return signals
        policy = self._recipe.policy
        can_observe = self._connected.models[GENERATOR].capabilities.has_hidden_states
        return replace(
            signals,
            entropy_top_k=policy.entropy_top_k,
            observations=tuple(policy.observations) if can_observe else (),
        )


def _checked(plugin: str, ending: object, desk: ProblemDesk) -> Ending:
    """Return why a text is over that a strategy has left, if it kept to its contract."""
    desk.close(plugin)
    if ending is not None and (not isinstance(ending, Ending) or ending.reason not in REASONS):
        raise PluginCallError(
            f"{plugin} returned {ending!r}; expected an Ending with a known reason, or None"
        )
    if not desk.trace.length and desk.ending is None:
        raise PluginCallError(
            f"{plugin} returned without having committed any text; commit a proposal, or end the "
            "text with `desk.finish`"
        )
    return ending or desk.ending or Ending("strategy")
