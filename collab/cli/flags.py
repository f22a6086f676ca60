"""The flags that several commands share, as the values of a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFlags:
    """Which models work, and how: flags of `solve` and `run`. What is not given is left out.

    Attributes:
        settings: `KEY=VALUE`, see `collab.config_files.load_config`.
    """

    pair: str | None = None
    recipe: str | None = None
    policy: str | None = None
    verifiers: Sequence[str] = ()
    unit: str | None = None
    seed: int | None = None
    prices: str | None = None
    settings: Sequence[str] = ()

    @property
    def values(self) -> dict[str, object]:
        """The given ones, by their keys in a configuration."""
        values: dict[str, object] = {
            "pair": self.pair,
            "recipe": self.recipe,
            "policy": self.policy,
            "verifiers": list(self.verifiers) or None,
            "unit": self.unit,
            "seed": self.seed,
            "prices": self.prices,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """Flags of `run` alone. What is not given is left out."""

    pair: PairFlags = field(default_factory=PairFlags)
    problems: str | None = None
    limit: int | None = None
    concurrency: int | None = None
    out: Path | None = None
    max_cost_usd: float | None = None
    max_mentor_tokens: int | None = None
    is_retrying_errors: bool = False

    @property
    def values(self) -> dict[str, object]:
        """The given ones, by their keys in a configuration."""
        bounds = {"max_cost_usd": self.max_cost_usd, "max_mentor_tokens": self.max_mentor_tokens}
        given = {key: bound for key, bound in bounds.items() if bound is not None}
        values: dict[str, object] = {
            "problems": self.problems,
            "limit": self.limit,
            "concurrency": self.concurrency,
            "out": self.out,
            "run_budget": given or None,
        }
        return self.pair.values | {key: value for key, value in values.items() if value is not None}
