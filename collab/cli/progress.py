"""Progress of a run on standard error: a bar on a terminal, else one line per problem."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from collab.cli.terminal import harmless, listed
from collab.runner import Progress

Report = Callable[[Progress], None]


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
    def __init__(self, label: str) -> None:
        self._label = label

    def show(self, progress: Progress) -> None:
        place = f"{self._label}: {progress.done}/{progress.total}"
        if progress.row is not None:
            problem, outcome = harmless(str(progress.row["id"])), progress.row["outcome"]
            print(f"{place} {problem} {outcome}", file=sys.stderr, flush=True)
        elif progress.done:
            print(f"{place} finished before", file=sys.stderr, flush=True)
