"""The commands and their flags. What a command does is in the module of its name.

These modules are imported only when their command runs, so that `collab --help` stays fast.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from collab import __version__
from collab.cli.commands import (
    ALL,
    BOUNDS,
    PAIR,
    PROBLEMS,
    Verbose,
    as_command,
    execute,
    taking,
)
from collab.cli.exit_codes import DONE
from collab.cli.flags import CalibrateFlags, ExtractFlags, RunFlags, TrainFlags, ValidateFlags

app = typer.Typer(
    name="collab",
    help="A small model writes the answer; a large model helps only where it pays.",
    epilog="Exit codes: 0 all done, 1 some failed, 2 cannot be done as asked, 3 budget reached, "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

train = typer.Typer(no_args_is_help=True, help="Train a plug-in on the behaviour of a pair.")
app.add_typer(train, name="train")

extract = typer.Typer(no_args_is_help=True, help="Extract a steering vector from a model.")
app.add_typer(extract, name="extract")


@extract.callback()
def extract_root() -> None:
    """Keep `steering` a command of its own: others may follow."""


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ConfigArgument = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="Short for --config CONFIG.", show_default=False),
]


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"collab {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def root(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Note what all commands share."""
    context.obj = verbose


@app.command()
@as_command
def demo(
    limit: Annotated[int, typer.Option(min=1, max=400, help="Number of problems.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Problems in progress at a time.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Keep the run directories here.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare ways to use the shipped pair of tiny models. Needs no network and no key."""
    return execute("demo", limit, concurrency, out, as_json=as_json)


@app.command()
@as_command
def solve(
    prompt: Annotated[str, typer.Argument(help="The question; `-` reads standard input.")],
    flags: Annotated[RunFlags, taking(*PAIR)],
    path: ConfigArgument = None,
    as_json: AsJson = False,
) -> int:
    """Answer one question as you watch; the mentor's words are in ⟦ ⟧ and in colour."""
    return execute("solve", prompt, flags.reading(path), as_json=as_json)


@app.command()
@as_command
def run(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, *BOUNDS)],
    path: ConfigArgument = None,
    as_json: AsJson = False,
) -> int:
    """Work through a problems file into a run directory; go on where it stopped."""
    return execute("run", flags.reading(path), as_json=as_json)


@train.command()
@as_command
def verifier(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, without=("verifiers", "prices"))],
    training: Annotated[TrainFlags, ALL],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|CONFIG.yaml",
            help="A verifier that can be trained, `mlp` by default; a YAML file is short for "
            "--config.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Follow both ways of a run's disagreements, and train a verifier on where they led."""
    name, flags = flags.named(words or (), "mlp")
    return execute("train", name, flags, training, as_json=as_json)


@extract.command()
@as_command
def steering(
    flags: Annotated[
        RunFlags, taking(*PAIR, *PROBLEMS, without=("recipe", "policy", "verifiers", "prices"))
    ],
    extracting: Annotated[ExtractFlags, ALL],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|CONFIG.yaml",
            help="A steerer with an extractor, `vector` by default; a YAML file is short for "
            "--config.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Have the generator write alone, and make a steering vector of its hidden states."""
    name, flags = flags.named(words or (), "vector")
    return execute("extract", name, flags, extracting, as_json=as_json)


@app.command()
@as_command
def calibrate(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, without=("policy", "verifiers", "unit"))],
    calibrating: Annotated[CalibrateFlags, ALL],
    path: ConfigArgument = None,
    as_json: AsJson = False,
) -> int:
    """Set a recipe's thresholds for a wanted mentor share, on held-out problems."""
    return execute("calibrate", flags.reading(path), calibrating, as_json=as_json)


@app.command()
@as_command
def validate(
    flags: Annotated[RunFlags, taking("config", "offset")],
    validating: Annotated[ValidateFlags, ALL],
    path: ConfigArgument = None,
    as_json: AsJson = False,
) -> int:
    """Check a configuration: its keys, plug-ins, options, problems file, and models."""
    return execute("validate.command", flags.reading(path), validating, as_json=as_json)


@app.command()
@as_command
def ls(
    kind: Annotated[
        Literal["policies", "verifiers", "steerers", "strategies", "backends", "recipes"] | None,
        typer.Argument(help="The kind to list; all kinds by default.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this one with its options: an installed name, `module:Class` or "
            "`file.py:Class`.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the installed plug-ins, or show one with its options, defaults and sources."""
    return execute("ls", kind, name, as_json=as_json)
