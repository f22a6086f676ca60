"""The commands and their flags. What a command does is in the module of its name.

These modules are imported only when their command runs, so that `collab --help` stays fast.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from collab import __version__
from collab.cli.commands import BOUNDS, DONE, PAIR, PROBLEMS, Verbose, as_command, module, taking
from collab.cli.flags import CalibrateFlags, ExtractFlags, RunFlags, TrainFlags

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
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Prepare what all commands share."""
    module("logs").configure_logging(is_verbose=verbose)


@app.command()
@as_command
def demo(
    limit: Annotated[int, typer.Option(min=1, max=400, help="Number of problems.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Problems in progress at a time.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Keep the run directories here.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare ways to use the shipped pair of tiny models. Needs no network and no key."""
    code: int = module("demo").execute(limit, concurrency, out, as_json=as_json)
    return code


@app.command()
@as_command
def solve(
    prompt: Annotated[str, typer.Argument(help="The question; `-` reads standard input.")],
    flags: Annotated[RunFlags, taking(*PAIR)],
    as_json: AsJson = False,
) -> int:
    """Answer one question as you watch; the mentor's words are in ⟦ ⟧ and in colour."""
    code: int = module("solve").execute(prompt, flags, as_json=as_json)
    return code


@app.command()
@as_command
def run(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, *BOUNDS)],
    path: ConfigArgument = None,
    as_json: AsJson = False,
) -> int:
    """Work through a problems file into a run directory; go on where it stopped."""
    code: int = module("run").execute(flags.reading(path), as_json=as_json)
    return code


@train.command()
@as_command
def verifier(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, without=("verifiers", "prices"))],
    name: Annotated[str, typer.Argument(help="A verifier that can be trained.")] = "mlp",
    samples: Annotated[
        int, typer.Option(min=1, help="Roll-outs of each continuation, if the recipe samples.")
    ] = 1,
    held_out: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Share of the problems held out for measuring.")
    ] = 0.25,
    tie_weight: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Weight of branches whose continuations are equally good; 0 drops them.",
        ),
    ] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Follow both ways of a run's disagreements, and train a verifier on where they led."""
    training = TrainFlags(samples=samples, held_out=held_out, tie_weight=tie_weight)
    code: int = module("train").execute(name, flags, training, as_json=as_json)
    return code


@extract.command()
@as_command
def steering(
    flags: Annotated[
        RunFlags,
        taking(*PAIR, *PROBLEMS, without=("recipe", "policy", "verifiers", "prices")),
    ],
    name: Annotated[str, typer.Argument(help="A steerer with an extractor.")] = "vector",
    texts: Annotated[
        int, typer.Option(min=1, help="Number of right texts, and of wrong ones, to make it from.")
    ] = 500,
    select: Annotated[
        str | None,
        typer.Option(help="`all`, `rank`, `rank-texts`, `rank-contrast` or `stable` steps."),
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Percentile of the rank below which steps are left out.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="The block that is steered.")] = None,
    as_json: AsJson = False,
) -> int:
    """Have the generator write alone, and make a steering vector of its hidden states."""
    extracting = ExtractFlags(texts=texts, select=select, percentile=percentile, layer=layer)
    code: int = module("extract").execute(name, flags, extracting, as_json=as_json)
    return code


@app.command()
@as_command
def calibrate(
    flags: Annotated[RunFlags, taking(*PAIR, *PROBLEMS, without=("policy", "verifiers", "unit"))],
    target: Annotated[
        str, typer.Option(help="The wanted amount of the mentor: 10%, 0.1, or dollars.")
    ] = "10%",
    by: Annotated[
        Literal["share", "steps", "cost"],
        typer.Option(help="Share of tokens, share of steps, or US dollars per problem."),
    ] = "share",
    labels: Annotated[
        str | None,
        typer.Option(help="A verifier that says which steps are bad: step-score, step-trial."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Maximum number of runs of the pair.")] = 4,
    as_json: AsJson = False,
) -> int:
    """Set a recipe's thresholds for a wanted mentor share, on held-out problems."""
    calibrating = CalibrateFlags(target=target, by=by, labels=labels, rounds=rounds)
    code: int = module("calibrate").execute(flags, calibrating, as_json=as_json)
    return code


@app.command()
@as_command
def validate(
    flags: Annotated[RunFlags, taking("config", "offset")],
    path: ConfigArgument = None,
    load: Annotated[
        bool,
        typer.Option("--load", help="Also connect the models and show what they can do."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Also measure on a few problems whether the recipe pays; connects the models.",
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of problems for the estimate.")] = 8,
    as_json: AsJson = False,
) -> int:
    """Check a configuration: its keys, plug-ins, options, problems file, and models."""
    code: int = module("validate.command").execute(
        flags.reading(path),
        is_loading=load or estimate,
        estimated_problems=limit if estimate else 0,
        as_json=as_json,
    )
    return code


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
    code: int = module("ls").execute(kind, name, as_json=as_json)
    return code
