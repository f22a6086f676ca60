"""Progress of a run on standard error: a bar on a terminal, else lines."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from collab.cli.terminal import harmless, listed, say
from collab.runs.runner import Progress

Report = Callable[[Progress], None]

_MOST_LINES = 20


@contextmanager
def shown_progress(label: str) -> Iterator[Report]:
    """Yield what takes the progress of a run and shows it under `label`."""
    if sys.stderr.isatty():
        with _bar() as bar:
            yield _BarReport(bar, label).show
    else:
        yield _LineReport(label).show


def _bar() -> Bar:
    layout = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[outcomes]}"),
    )
    return Bar(*layout, console=Console(stderr=True))


class _BarReport:
    def __init__(self, bar: Bar, label: str) -> None:
        self._bar = bar
        self._task = bar.add_task(label, total=None, outcomes="")
        self._outcomes: Counter[str] = Counter()

    def show(self, progress: Progress) -> None:
        if progress.row is not None:
            self._outcomes[str(progress.row["outcome"])] += 1
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            outcomes=listed(self._outcomes),
        )


class _LineReport:
    """One line per problem; of long runs only every tenth part, and what failed."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._outcomes: Counter[str] = Counter()

    def show(self, progress: Progress) -> None:
        place = f"{self._label}: {progress.done}/{progress.total}"
        if progress.row is None:
            self._print(f"{place} finished before" if progress.done else "")
            return
        problem, outcome = harmless(str(progress.row["id"])), str(progress.row["outcome"])
        self._outcomes[outcome] += 1
        if progress.total <= _MOST_LINES or outcome == "error":
            self._print(f"{place} {problem} {outcome}")
        elif progress.done % -(-progress.total // 10) == 0 or progress.done == progress.total:
            self._print(f"{place} {listed(self._outcomes)}")

    def _print(self, line: str) -> None:
        if line:
            say(line)
