"""What every command shares: its flags spread out, `--verbose`, and its exit code.

A command is a function that returns its exit code. `as_command` makes of it what typer takes.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints

import typer

from collab.cli.exit_codes import exit_codes

Verbose = Annotated[bool, typer.Option("--verbose", help="Log what happens, on standard error.")]


@dataclass(frozen=True, slots=True)
class Taking:
    """Beside a parameter whose type is a dataclass of flags: those that the command takes.

    Attributes:
        names: Its fields, in the order in which help lists them; all of them if none is named.
    """

    names: tuple[str, ...] = ()


ALL = Taking()
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
    takes `--verbose`, as `collab` itself does, configures logging, and ends with the exit code that
    is returned.
    """
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    spread = {name: flags for name, hint in hints.items() if (flags := _flags_of(hint))}

    @wraps(function)
    def command(**given: Any) -> None:
        is_verbose = bool(given.pop("context").obj)
        is_verbose |= given.pop("verbose")
        importlib.import_module("collab.cli.logs").configure_logging(is_verbose=is_verbose)
        for name, (kind, flags) in spread.items():
            given[name] = kind(**{flag.name: given.pop(flag.name) for flag in flags})
        with exit_codes():
            raise typer.Exit(function(**given))

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in spread:
            parameters += spread[name][1]
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=keyword, annotation=hints[name]))
    parameters.append(_flag("verbose", Verbose, default=False))
    parameters.append(_flag("context", typer.Context, default=inspect.Parameter.empty))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by `inspect.signature`
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def execute(name: str, *arguments: object, as_json: bool) -> int:
    """Run the command whose module is `name`, and return its exit code.

    The module is imported only here, so that `collab --help` stays fast.
    """
    code: int = importlib.import_module(f"collab.cli.{name}").execute(*arguments, as_json=as_json)
    return code


def _flags_of(hint: object) -> tuple[type[Any], list[inspect.Parameter]] | None:
    """Return the dataclass of flags that a parameter takes, and those that it takes of them."""
    marks = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Taking)]
    if not marks:
        return None
    kind: type[Any] = get_args(hint)[0]
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in fields(kind)}
    names = marks[0].names or tuple(defaults)
    return kind, [_flag(name, hints[name], default=defaults[name]) for name in names]


def _flag(name: str, annotation: object, *, default: object) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)
