"""The flags that several commands share, as the values of a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

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
    """Flags of `train` alone.

    Attributes:
        samples: Roll-outs of each way of a branch, where the recipe samples.
        held_out: Share of the problems that is only measured on.
        tie_weight: How much a tie counts in training; 0 drops it.
    """

    samples: int
    held_out: float
    tie_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractFlags:
    """Flags of `extract` alone; what is not given is left out.

    Attributes:
        texts: Right texts, and wrong ones, that a vector is made of.
        select: Which of their steps.
        percentile: Of the rank below which steps are left out.
        layer: The block that is steered.
    """

    texts: int
    select: str | None = None
    percentile: float | None = None
    layer: int | None = None

    @property
    def options(self) -> dict[str, object]:
        """Those that are the extractor's, by their keys there."""
        options = {"select": self.select, "percentile": self.percentile, "layer": self.layer}
        return {key: value for key, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateFlags:
    """Flags of `calibrate` alone.

    Attributes:
        target: As it was written, such as `10%`.
        by: What the target counts.
        labels: The verifier that says which steps are bad, if one is asked.
        rounds: Most runs of the pair.
    """

    target: str
    by: str
    labels: str | None
    rounds: int
