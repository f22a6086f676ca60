"""The runner: works through a problems file into a run directory, and goes on where it stopped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import anyio.to_thread

from collab.controller import Result
from collab.errors import ConfigError
from collab.problems import BrokenLine, Problem, read_problems
from collab.runs.assembly import build_aside
from collab.runs.config import RunConfig, installed_versions
from collab.runs.prices import price_record
from collab.runs.rows import Row, abandoned_row, broken_line_row, ledger_row, result_row, usage_of
from collab.runs.store import RunStore
from collab.runs.summary import Summary
from collab.usage import Usage


@dataclass(frozen=True, slots=True)
class Progress:
    """A problem is finished and on disk.

    Attributes:
        row: Its row, of which `id` and `outcome` are shown; `None` for the first event, before any
            work.
        done: Finished problems, those of earlier invocations included.
        total: All problems of the run.
    """

    row: Row | None
    done: int
    total: int


Report = Callable[[Progress], None]
"""Takes what happens; must not wait for anything."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What an invocation of a run comes to.

    Attributes:
        summary: Of all rows, those of earlier invocations included.
        pending: Problems that are not finished.
        budget_reached: The run budget's bound that ended it, or empty.
        worked_on: Problems that this invocation finished.
        loading_s: Seconds that it took until the models were there.
        working_s: Seconds that it took from then on.
    """

    summary: Summary
    pending: int
    budget_reached: str
    worked_on: int
    loading_s: float
    working_s: float


async def run(
    config: RunConfig,
    *,
    on_progress: Report = lambda _: None,
    is_retrying_errors: bool = False,
) -> RunSummary:
    """Work on every problem that is not finished, and return what the run comes to.

    Problems whose row is on disk are not worked on again, so the same call continues what was
    killed. Models are loaded only if something is left to do. The file of results holds rows in
    the order of finishing; nothing else in it depends on the concurrency.

    Args:
        config: The run; `problems` and `out` have to be given.
        on_progress: Called once before any work, and whenever a row is on disk.
        is_retrying_errors: Work on problems again whose outcome is `error`.

    Raises:
        ConfigError: The run cannot be begun, or its directory cannot be written any more; what
            was finished is on disk.
    """
    if config.problems is None or config.out is None:
        missing = "problems" if config.problems is None else "out"
        raise ConfigError(f"a run needs {missing}; give --{missing} or the key in the YAML file")
    problems = config.chosen(read_problems(config.problems))
    recorded = installed_versions() | price_record(config)
    with RunStore(config.out, config.compared_record(), recorded) as store:
        work = _Work(config, store, problems, on_progress, is_retrying_errors=is_retrying_errors)
        await work.finish()
        return RunSummary(
            summary=store.summary,
            pending=work.pending,
            budget_reached=work.budget_reached if work.pending else "",
            worked_on=work.worked_on,
            loading_s=work.ready - work.started,
            working_s=perf_counter() - work.ready,
        )


async def graded_row(result: Result, config: RunConfig, *, attempt: int) -> Row:
    """Return the row of a problem that was worked on, graded as the configuration says."""
    graded = partial(
        result_row, result, extraction=config.extraction, grader=config.grader, attempt=attempt
    )
    # Grading can take seconds, and the other problems go on meanwhile.
    return await anyio.to_thread.run_sync(graded) if config.is_graded_slowly else graded()


def note_abandoned(store: RunStore, result: Result) -> None:
    """Keep the calls of a problem that was given up, if there were any."""
    if result.calls:
        store.note_abandoned(abandoned_row(result))


class _Work:
    """The work of one invocation."""

    def __init__(
        self,
        config: RunConfig,
        store: RunStore,
        problems: Sequence[Problem | BrokenLine],
        on_progress: Report,
        *,
        is_retrying_errors: bool,
    ) -> None:
        self._config = config
        self._store = store
        self._on_progress = on_progress
        self._total = len(problems)
        unfinished = [one for one in problems if not _is_finished(one, store, is_retrying_errors)]
        self._problems = [one for one in unfinished if isinstance(one, Problem)]
        self._broken_lines = [one for one in unfinished if isinstance(one, BrokenLine)]
        self._spent: dict[str, Usage] = {}
        self.started = self.ready = perf_counter()
        self.pending = len(unfinished)
        self.worked_on = 0
        self.budget_reached = ""
        self._note_budget()
        for row in [*store.rows.values(), *store.superseded, *store.abandoned]:
            self._spend(row)

    async def finish(self) -> None:
        """Work on what is pending, until it is done or the run budget is reached."""
        self._report(None)
        if not self.pending or self.budget_reached:
            return
        if not self._problems:
            self._begin()
            return
        async with await build_aside(self._config) as controller:
            self.ready = perf_counter()
            self._begin()
            controller.on_abandoned = partial(note_abandoned, self._store)
            async with controller.map(
                self._until_spent(), concurrency=self._config.concurrency
            ) as results:
                async for result in results:
                    await self._keep(result)

    def _begin(self) -> None:
        self._store.begin()
        for line in self._broken_lines:
            self._put(broken_line_row(line), None)

    def _until_spent(self) -> Iterator[Problem]:
        for problem in self._problems:
            if self.budget_reached:
                return
            yield problem

    async def _keep(self, result: Result) -> None:
        attempt = self._store.next_attempt(result.problem.id)
        row = await graded_row(result, self._config, attempt=attempt)
        self._put(row, ledger_row(result, attempt=attempt))

    def _put(self, row: Row, ledger: Row | None) -> None:
        # Not in a thread: a cancelled invocation must not go on without its last write.
        self._store.add(row, ledger)
        self.pending -= 1
        self.worked_on += 1
        self._spend(row)
        self._report(row)

    def _spend(self, row: Row) -> None:
        for role, usage in usage_of(row).items():
            self._spent[role] = self._spent.get(role, Usage()) + usage
        self._note_budget()

    def _note_budget(self) -> None:
        self.budget_reached = self._config.run_budget.as_budget.spent(self._spent)

    def _report(self, row: Row | None) -> None:
        self._on_progress(Progress(row, self._total - self.pending, self._total))


def _is_finished(problem: Problem | BrokenLine, store: RunStore, is_retrying_errors: bool) -> bool:
    row = store.rows.get(problem.id)
    if row is None:
        return False
    return not (is_retrying_errors and isinstance(problem, Problem) and row["outcome"] == "error")
