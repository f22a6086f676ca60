"""The frame of a command's work: its progress is shown, and an interruption says what is kept."""

from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from collab.cli.interrupts import run_interruptible
from collab.cli.progress import shown_progress
from collab.runs.runner import Progress, Report

T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What takes long and reports each problem that is finished."""

    def __call__(self, *, on_progress: Report) -> Awaitable[T_co]:
        """Do it."""
        ...


def finish(work: Work[T_co], label: str, *, out: Path | None) -> T_co:
    """Return what `work` returns, and show its progress under `label` meanwhile.

    Args:
        work: What is done.
        label: What it is, in a word or two.
        out: Where what is finished is kept; `None` if nothing is.

    Raises:
        KeyboardInterrupt: It was interrupted; a note says what is kept.
    """
    latest = Progress(None, 0, 0)
    with shown_progress(label) as report:

        def show(progress: Progress) -> None:
            nonlocal latest
            latest = progress
            report(progress)

        try:
            return run_interruptible(partial(work, on_progress=show))
        except KeyboardInterrupt as interruption:
            if out is not None:
                interruption.add_note(
                    f"{latest.done} of {latest.total} problems are finished and on disk in {out}; "
                    "run the same command again to continue"
                )
            raise
