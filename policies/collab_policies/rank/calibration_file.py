"""Calibrations: what a generator's signals are like on problems it was not tuned on, as a file."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from collab.errors import ConfigError
from collab.plugins import explain
from collab_policies.rank.options import RankOptions

VERSION = 1
"""Of the signals: another number means that the same states give other scores."""


class SignalScale(BaseModel):
    """How one signal is spread over the steps of a calibration.

    Attributes:
        mean: Over all steps where it has an opinion.
        deviation: Standard deviation there.
        quantiles: 101 of them, from the 0 % to the 100 % one, ascending.
        steps: On how many steps it has an opinion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    deviation: float = Field(ge=0)
    quantiles: tuple[float, ...] = Field(min_length=101, max_length=101)
    steps: int = Field(ge=1)

    def z(self, value: float) -> float:
        """Return how many deviations `value` is above the mean; 0 where nothing is spread."""
        return (value - self.mean) / self.deviation if self.deviation else 0.0


class Calibration(BaseModel):
    """The signals of one generator on held-out problems, and thresholds for one target.

    Attributes:
        version: Of the signals.
        generator: Name of the model.
        fingerprint: Of the only generator that it holds for; empty if its backend gives none.
        hidden_size: Width of its states; `None` if it hands over none.
        rank: Which reading of the rank was taken, with its layers and window.
        entropy_top_k: The k of its entropies.
        means: Calibration means of RMS-normalised states by layer, `(L, d)`.
        scales: By signal: `entropy_first`, `entropy_mean`, `rank`.
        thresholds: By name, for `target`: `uncertainty` (nats, from there on), `overconfidence` and
            `revalidation` (rank scores, up to there), `rank` (the rank alone), `soft` (of the soft
            rule with `weight`).
        weight: The lambda that `soft` holds for.
        target: What the thresholds were set for, and what is to be expected of them.
        data: Where the signals are from: digest of the problems, numbers of problems and steps.
        report: What was measured beside, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["collab calibration"] = "collab calibration"
    version: int = VERSION
    generator: str
    fingerprint: str = ""
    hidden_size: int | None = None
    rank: RankOptions | None = None
    entropy_top_k: int = 20
    means: tuple[tuple[float, ...], ...] | None = Field(default=None, repr=False)
    scales: Mapping[str, SignalScale] = Field(default_factory=dict, repr=False)
    thresholds: Mapping[str, float] = Field(default_factory=dict)
    weight: float = 0.0
    target: Mapping[str, JsonValue] = Field(default_factory=dict)
    data: Mapping[str, JsonValue] = Field(default_factory=dict)
    report: Mapping[str, JsonValue] = Field(default_factory=dict, repr=False)

    def threshold(self, name: str) -> float:
        """Return the threshold of that name.

        Raises:
            ConfigError: It was not set.
        """
        if name not in self.thresholds:
            found = ", ".join(sorted(self.thresholds)) or "none"
            raise ConfigError(
                f"the calibration of {self.generator!r} has no threshold {name!r} "
                f"(it has: {found}); calibrate for it, or give the threshold as an option"
            )
        return self.thresholds[name]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def as_calibration(given: Path | Calibration | None) -> Calibration | None:
    """Return a calibration that is given as it is or as a file.

    Raises:
        ConfigError: See `load_calibration`.
    """
    return load_calibration(given) if isinstance(given, Path) else given


def load_calibration(path: Path) -> Calibration:
    """Return the calibration in a file; the same value while the file stays the same.

    Raises:
        ConfigError: There is no such file, it is no calibration, or one of other signals.
    """
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"the calibration {str(path)!r} cannot be read: {error}") from error


@lru_cache(maxsize=32)
def _load(path: Path, modified_ns: int) -> Calibration:
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(
            f"{str(path)!r} is not a calibration: {explain(error)[0]}; `collab calibrate` makes one"
        ) from error
    if calibration.version != VERSION:
        raise ConfigError(
            f"the calibration {str(path)!r} is of version {calibration.version} of the signals, "
            f"this is version {VERSION}; calibrate again"
        )
    return calibration
