"""The flags that several commands share, as the values of a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from typer import Option

from collab.errors import ConfigError

OF_RUNS = ("out", "run_budget")
"""Keys of a configuration that hold for `collab run` alone: other results go into other folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """Which models work on what, and how; what is not given is left out.

    A field is a flag, with its help. `collab.cli.commands` gives a command the flags that it takes.
    """

    config: Annotated[
        Path | None,
        Option(
            "--config",
            help="A YAML file; flags override it. Only `run` uses its `out` and `run_budget`.",
        ),
    ] = None
    pair: Annotated[
        str | None,
        Option(help="`lab` (the shipped pair), or a YAML file with `generator` and `mentor`."),
    ] = None
    recipe: Annotated[str | None, Option(help="See `collab ls recipes`.")] = None
    policy: Annotated[str | None, Option(help="Instead of a recipe; see `collab ls policies`.")] = (
        None
    )
    strategy: Annotated[
        str | None, Option(help="Instead of a recipe or policy; see `collab ls strategies`.")
    ] = None
    verifiers: Annotated[
        list[str] | None,
        Option("--verifier", help="Repeat it for a cascade; see `collab ls verifiers`."),
    ] = None
    unit: Annotated[str | None, Option(help="`token`, `word`, `step`, or a number of tokens.")] = (
        None
    )
    settings: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set an option: `policy.rate=0.5`, `recipe.rate=0.5`, `verifier.order=both`, "
            "`mentor.threads=4`, `budget.max_calls=20`, `segment_tokens=8`. Repeatable. "
            "`collab ls recipes NAME` lists the options of a recipe.",
        ),
    ] = None
    seed: Annotated[int | None, Option(help="Seed of every random choice; 0 by default.")] = None
    prices: Annotated[
        str | None,
        Option(help="A price file, or `genai-prices`; a backend's own `price` wins."),
    ] = None
    problems: Annotated[
        str | None,
        Option(
            help="JSON Lines, CSV or Parquet with `prompt`, and `answer` and `id`; or "
            "hf://owner/name?split=test."
        ),
    ] = None
    limit: Annotated[int | None, Option(min=1, help="Take only the first N problems.")] = None
    offset: Annotated[int | None, Option(min=0, help="Skip N problems before them.")] = None
    concurrency: Annotated[
        int | None, Option(min=1, help="Problems in progress at a time; 8 by default.")
    ] = None
    out: Annotated[
        Path | None, Option(help="The output folder; the same command continues there.")
    ] = None
    max_cost: Annotated[
        float | None, Option(min=0, help="Begin no new problem once this many dollars are spent.")
    ] = None
    max_mentor_tokens: Annotated[
        int | None, Option(min=0, help="Begin no new problem once mentors have written N tokens.")
    ] = None
    retry_errors: Annotated[bool, Option("--retry-errors", help="Try failed problems again.")] = (
        False
    )

    @property
    def given_settings(self) -> Sequence[str]:
        """The given `KEY=VALUE`, see `collab.runs.config_files.load_config`."""
        return self.settings or ()

    def reading(self, path: Path | None) -> Self:
        """Return them with the configuration that is given as an argument instead of a flag.

        Raises:
            ConfigError: Both are given.
        """
        if path is None:
            return self
        if self.config is not None:
            raise ConfigError(
                f"two configurations are given, {str(path)!r} and --config {str(self.config)!r}; "
                "give one"
            )
        return replace(self, config=path)

    def named(self, words: Sequence[str], default: str) -> tuple[str, Self]:
        """Return the plug-in that a command's words name, and these with the configuration there.

        Args:
            words: At most a name and a configuration, in either order; a configuration is what
                ends with `.yaml` or `.yml`.
            default: The plug-in if none is named.

        Raises:
            ConfigError: There are two of a kind.
        """
        paths = [word for word in words if word.endswith((".yaml", ".yml"))]
        names = [word for word in words if word not in paths]
        if len(paths) > 1 or len(names) > 1:
            raise ConfigError(
                f"cannot tell what {', '.join(map(repr, words))} are; give at most one name and "
                "one configuration, which ends with .yaml or .yml"
            )
        flags = self.reading(Path(paths[0])) if paths else self
        return names[0] if names else default, flags

    @property
    def values(self) -> dict[str, object]:
        """The given ones, by their keys in a configuration."""
        bounds = {"max_cost_usd": self.max_cost, "max_mentor_tokens": self.max_mentor_tokens}
        run_budget = {key: bound for key, bound in bounds.items() if bound is not None}
        values: dict[str, object] = {
            "pair": self.pair,
            "recipe": self.recipe,
            "policy": self.policy,
            "strategy": self.strategy,
            "verifiers": self.verifiers or None,
            "unit": self.unit,
            "seed": self.seed,
            "prices": self.prices,
            "problems": self.problems,
            "limit": self.limit,
            "offset": self.offset,
            "concurrency": self.concurrency,
            "out": self.out,
            "run_budget": run_budget or None,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainFlags:
    """Flags of `train` alone."""

    samples: Annotated[
        int, Option(min=1, help="Roll-outs of each continuation, if the recipe samples.")
    ] = 1
    held_out: Annotated[
        float, Option(min=0.05, max=0.9, help="Share of the problems held out for measuring.")
    ] = 0.25
    tie_weight: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="Weight of branches whose continuations are equally good; 0 drops them.",
        ),
    ] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractFlags:
    """Flags of `extract` alone; what is not given is left out."""

    texts: Annotated[
        int, Option(min=1, help="Number of right texts, and of wrong ones, to make it from.")
    ] = 500
    select: Annotated[
        str | None,
        Option(help="`all`, `rank`, `rank-texts`, `rank-contrast` or `stable` steps."),
    ] = None
    percentile: Annotated[
        float | None, Option(help="Percentile of the rank below which steps are left out.")
    ] = None
    layer: Annotated[int | None, Option(help="The block that is steered.")] = None

    @property
    def options(self) -> dict[str, object]:
        """Those that are the extractor's, by their keys there."""
        options = {"select": self.select, "percentile": self.percentile, "layer": self.layer}
        return {key: value for key, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateFlags:
    """Flags of `calibrate` alone."""

    target: Annotated[
        str, Option(help="The wanted amount of the mentor: 10%, 0.1, or dollars.")
    ] = "10%"
    by: Annotated[
        Literal["share", "steps", "cost"],
        Option(help="Share of tokens, share of steps, or US dollars per problem."),
    ] = "share"
    labels: Annotated[
        str | None,
        Option(help="A verifier that says which steps are bad: step-score, step-trial."),
    ] = None
    rounds: Annotated[int, Option(min=1, help="Maximum number of runs of the pair.")] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateFlags:
    """Flags of `validate` alone."""

    load: Annotated[
        bool, Option("--load", help="Also connect the models and show what they can do.")
    ] = False
    estimate: Annotated[
        bool,
        Option(
            "--estimate",
            help="Also measure on a few problems whether the recipe pays; connects the models.",
        ),
    ] = False
    limit: Annotated[int, Option(min=1, help="Number of problems for the estimate.")] = 8
