"""The exit codes of commands, and the errors that lead to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from collab.cli.interrupts import exit_code_of
from collab.cli.terminal import say
from collab.errors import CollabError, ConfigError

DONE, SOME_FAILED, CANNOT, BUDGET_REACHED = 0, 1, 2, 3


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what the user can act on into a message on standard error and an exit code."""
    try:
        yield
    except CollabError as error:
        say(f"error: {error}")
        raise typer.Exit(CANNOT if isinstance(error, ConfigError) else SOME_FAILED) from error
    except KeyboardInterrupt as interruption:
        say("; ".join(("interrupted", *getattr(interruption, "__notes__", ()))))
        raise typer.Exit(exit_code_of(interruption)) from interruption
