"""The commands and their flags. What a command does is in the module of its name.

These modules are imported only when their command runs, so that `collab --help` stays fast.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from collab import __version__
from collab.cli.flags import CalibrateFlags, ExtractFlags, PairFlags, RunFlags, TrainFlags
from collab.cli.interrupts import exit_code_of
from collab.cli.terminal import say
from collab.errors import CollabError, ConfigError

DONE, SOME_FAILED, CANNOT, BUDGET_REACHED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

app = typer.Typer(
    name="collab",
    help="A small model writes; a large one speaks only where it pays.",
    epilog="Exit codes: 0 all done, 1 some failed, 2 cannot be done as asked, 3 budget reached, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

train = typer.Typer(no_args_is_help=True, help="Train a plug-in on what a pair does.")
app.add_typer(train, name="train")

extract = typer.Typer(no_args_is_help=True, help="Extract from a model what steers it.")
app.add_typer(extract, name="extract")


@extract.callback()
def extract_root() -> None:
    """Keep `steering` a command of its own: others may follow."""


Pair = Annotated[
    str | None,
    typer.Option(help="`lab` (the shipped pair), or a YAML file with `generator` and `mentor`."),
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="See `collab ls recipes`.")]
PolicyName = Annotated[
    str | None, typer.Option("--policy", help="Instead of a recipe; see `collab ls policies`.")
]
VerifierNames = Annotated[
    list[str] | None,
    typer.Option("--verifier", help="Repeat it for a cascade; see `collab ls verifiers`."),
]
UnitName = Annotated[
    str | None, typer.Option("--unit", help="`token`, `word`, `step`, or a number of tokens.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set an option: `policy.rate=0.5`, `recipe.rate=0.5`, `verifier.order=both`, "
        "`mentor.threads=4`, `budget.max_calls=20`, `segment_tokens=8`. Repeatable.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of every random choice; 0 if not given.")]
Prices = Annotated[
    str | None,
    typer.Option(help="A price file, or `genai-prices`; a backend's own `price` wins."),
]
Problems = Annotated[
    str | None,
    typer.Option(
        help="JSON Lines, CSV or Parquet with `prompt`, and `answer` and `id`; or "
        "hf://owner/name?split=test."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Problems in work at a time; 8 if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _survive_narrow_encodings() -> None:
    """Have what a terminal's encoding lacks replaced, such as ⟦ in ASCII, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


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
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what happens, on standard error.")
    ] = False,
) -> None:
    """Prepare what all commands share."""
    _survive_narrow_encodings()
    _module("logs").configure_logging(is_verbose=verbose)


@app.command()
def demo(
    limit: Annotated[int, typer.Option(min=1, max=400, help="Problems.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Problems in work at a time.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Keep the run directories here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare ways to use the shipped pair of tiny models. Needs no network and no key."""
    with _exit_codes():
        raise typer.Exit(_module("demo").execute(limit, concurrency, out, as_json=as_json))


@app.command()
def solve(
    prompt: Annotated[str, typer.Argument(help="The question; `-` reads standard input.")],
    pair: Pair = None,
    recipe: RecipeName = None,
    policy: PolicyName = None,
    verifiers: VerifierNames = None,
    unit: UnitName = None,
    settings: Settings = None,
    seed: Seed = None,
    prices: Prices = None,
    as_json: AsJson = False,
) -> None:
    """Answer one question as you watch; what the mentor wrote stands in ⟦ ⟧ and in colour."""
    flags = PairFlags(
        pair=pair,
        recipe=recipe,
        policy=policy,
        verifiers=verifiers or (),
        unit=unit,
        seed=seed,
        prices=prices,
        settings=settings or (),
    )
    with _exit_codes():
        raise typer.Exit(_module("solve").execute(prompt, flags, as_json=as_json))


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file; flags override it.", show_default=False)
    ] = None,
    pair: Pair = None,
    recipe: RecipeName = None,
    policy: PolicyName = None,
    verifiers: VerifierNames = None,
    unit: UnitName = None,
    settings: Settings = None,
    seed: Seed = None,
    prices: Prices = None,
    problems: Problems = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory; the same command there goes on.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Begin no problem once this many dollars are spent.")
    ] = None,
    max_mentor_tokens: Annotated[
        int | None, typer.Option(min=0, help="Begin no problem once mentors wrote so many tokens.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Work on failed problems again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Work through a problems file into a run directory; go on where it stopped."""
    flags = RunFlags(
        pair=PairFlags(
            pair=pair,
            recipe=recipe,
            policy=policy,
            verifiers=verifiers or (),
            unit=unit,
            seed=seed,
            prices=prices,
            settings=settings or (),
        ),
        problems=problems,
        limit=limit,
        concurrency=concurrency,
        out=out,
        max_cost_usd=max_cost,
        max_mentor_tokens=max_mentor_tokens,
        is_retrying_errors=retry_errors,
    )
    with _exit_codes():
        raise typer.Exit(_module("run").execute(config, flags, as_json=as_json))


@train.command()
def verifier(
    name: Annotated[str, typer.Argument(help="A verifier that can be trained.")] = "mlp",
    pair: Pair = None,
    recipe: RecipeName = None,
    policy: PolicyName = None,
    unit: UnitName = None,
    settings: Settings = None,
    seed: Seed = None,
    problems: Problems = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    out: Annotated[
        Path | None,
        typer.Option(help="For branches, verifier and card; the same command there goes on."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Roll-outs of each way, where the recipe samples.")
    ] = 1,
    held_out: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Share of the problems only measured on.")
    ] = 0.25,
    tie_weight: Annotated[
        float,
        typer.Option(min=0, max=1, help="Weight of branches where both ways are as good; 0 drops."),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Follow both ways of a run's disagreements, and train a verifier on where they led."""
    flags = RunFlags(
        pair=PairFlags(
            pair=pair, recipe=recipe, policy=policy, unit=unit, seed=seed, settings=settings or ()
        ),
        problems=problems,
        limit=limit,
        concurrency=concurrency,
        out=out,
    )
    training = TrainFlags(samples=samples, held_out=held_out, tie_weight=tie_weight)
    with _exit_codes():
        raise typer.Exit(_module("train").execute(name, flags, training, as_json=as_json))


@extract.command()
def steering(
    name: Annotated[str, typer.Argument(help="A steerer with an extractor.")] = "vector",
    pair: Pair = None,
    unit: UnitName = None,
    settings: Settings = None,
    seed: Seed = None,
    problems: Problems = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    out: Annotated[
        Path | None,
        typer.Option(help="For steps, vector and card; the same command there goes on."),
    ] = None,
    texts: Annotated[
        int, typer.Option(min=1, help="Right texts, and as many wrong ones, to make it of.")
    ] = 500,
    select: Annotated[
        str | None,
        typer.Option(help="`all`, `rank`, `rank-texts`, `rank-contrast` or `stable` steps."),
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Of the rank below which steps are left out.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="The block that is steered.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have the generator write alone, and make a steering vector of its hidden states."""
    flags = RunFlags(
        pair=PairFlags(pair=pair, unit=unit, seed=seed, settings=settings or ()),
        problems=problems,
        limit=limit,
        concurrency=concurrency,
        out=out,
    )
    extracting = ExtractFlags(texts=texts, select=select, percentile=percentile, layer=layer)
    with _exit_codes():
        raise typer.Exit(_module("extract").execute(name, flags, extracting, as_json=as_json))


@app.command()
def calibrate(
    pair: Pair = None,
    recipe: RecipeName = None,
    settings: Settings = None,
    seed: Seed = None,
    prices: Prices = None,
    problems: Problems = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    out: Annotated[
        Path | None,
        typer.Option(help="For signals and calibration; the same command there goes on."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="How much of the mentor: 10%, 0.1, or dollars.")
    ] = "10%",
    by: Annotated[
        Literal["share", "steps", "cost"],
        typer.Option(help="Share of tokens, share of steps, or US dollars per problem."),
    ] = "share",
    labels: Annotated[
        str | None,
        typer.Option(help="A verifier that says which steps are bad: step-score, step-trial."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Most runs of the pair.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Set a recipe's thresholds for a wanted mentor share, on held-out problems."""
    flags = RunFlags(
        pair=PairFlags(
            pair=pair,
            recipe=recipe or "rankguide",
            seed=seed,
            prices=prices,
            settings=settings or (),
        ),
        problems=problems,
        limit=limit,
        concurrency=concurrency,
        out=out,
    )
    calibrating = CalibrateFlags(target=target, by=by, labels=labels, rounds=rounds)
    with _exit_codes():
        raise typer.Exit(_module("calibrate").execute(flags, calibrating, as_json=as_json))


@app.command()
def validate(
    config: Annotated[Path, typer.Argument(help="A YAML file.")],
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
    limit: Annotated[int, typer.Option(min=1, help="Problems of the estimate.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Check a configuration: its keys, plug-ins, options, problems file, and models."""
    with _exit_codes():
        raise typer.Exit(
            _module("validate").execute(
                config,
                is_loading=load or estimate,
                estimated_problems=limit if estimate else 0,
                as_json=as_json,
            )
        )


@app.command()
def ls(
    kind: Annotated[
        Literal["policies", "verifiers", "steerers", "backends", "recipes"],
        typer.Argument(help="What."),
    ],
    as_json: AsJson = False,
) -> None:
    """List the installed plug-ins of a kind, and the packages they come from."""
    with _exit_codes():
        raise typer.Exit(_module("ls").execute(kind, as_json=as_json))


def _module(name: str) -> ModuleType:
    """Import a module of the command line by its name, on use: see this file's docstring."""
    return importlib.import_module(f"collab.cli.{name}")


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn what the user can act on into a message on standard error and an exit code."""
    try:
        yield
    except CollabError as error:
        say(f"error: {error}")
        raise typer.Exit(CANNOT if isinstance(error, ConfigError) else SOME_FAILED) from error
    except KeyboardInterrupt as error:
        say("interrupted")
        raise typer.Exit(exit_code_of(error)) from error
