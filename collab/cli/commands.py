"""What every command shares: its flags spread out, `--verbose`, and its exit code.

A command is a function that returns its exit code. `as_command` makes of it what typer takes.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer

from collab.cli.flags import RunFlags
from collab.cli.interrupts import exit_code_of
from collab.cli.terminal import say
from collab.errors import CollabError, ConfigError

DONE, SOME_FAILED, CANNOT, BUDGET_REACHED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

Verbose = Annotated[bool, typer.Option("--verbose", help="Log what happens, on standard error.")]


@dataclass(frozen=True, slots=True)
class Taking:
    """Beside a parameter of the type `RunFlags`: the flags that the command takes.

    Attributes:
        names: Fields of `RunFlags`.
    """

    names: tuple[str, ...]


PAIR = (
    "config",
    "pair",
    "recipe",
    "policy",
    "strategy",
    "verifiers",
    "unit",
    "settings",
    "seed",
    "prices",
)
PROBLEMS = ("problems", "limit", "offset", "concurrency", "out")
BOUNDS = ("max_cost", "max_mentor_tokens", "retry_errors")


def taking(*names: str, without: tuple[str, ...] = ()) -> Taking:
    """Return the flags `names`, in the order in which help lists them."""
    return Taking(tuple(name for name in names if name not in without))


def as_command(function: Callable[..., int]) -> Callable[..., None]:
    """Return `function` as typer takes it.

    A parameter that is marked by `Taking` becomes one flag for each of its names. The command also
    takes `--verbose`, as `collab` itself does, and ends with the exit code that is returned.
    """
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    spread = {name: taken for name, hint in hints.items() if (taken := _taken(hint)) is not None}

    @wraps(function)
    def command(**given: Any) -> None:
        if given.pop("verbose"):
            module("logs").configure_logging(is_verbose=True)
        for name, taken in spread.items():
            given[name] = RunFlags(**{flag: given.pop(flag) for flag in taken.names})
        with exit_codes():
            raise typer.Exit(function(**given))

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in spread:
            parameters += _parameters(spread[name])
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=keyword, annotation=hints[name]))
    parameters.append(_flag("verbose", Verbose, default=False))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by `inspect.signature`
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def module(name: str) -> ModuleType:
    """Import a module of the command line by its name, on use, so that help stays fast."""
    return importlib.import_module(f"collab.cli.{name}")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what the user can act on into a message on standard error and an exit code."""
    try:
        yield
    except CollabError as error:
        say(f"error: {error}")
        raise typer.Exit(CANNOT if isinstance(error, ConfigError) else SOME_FAILED) from error
    except KeyboardInterrupt as error:
        say("interrupted")
        raise typer.Exit(exit_code_of(error)) from error


def _taken(hint: object) -> Taking | None:
    found = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Taking)]
    return found[0] if found else None


def _parameters(taken: Taking) -> list[inspect.Parameter]:
    hints = get_type_hints(RunFlags, include_extras=True)
    defaults = {field.name: field.default for field in fields(RunFlags)}
    return [_flag(name, hints[name], default=defaults[name]) for name in taken.names]


def _flag(name: str, annotation: object, *, default: object) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)
