"""The protocol of calibrators: how the thresholds of a recipe follow from recorded signals.

A recipe that can be calibrated has a class attribute `calibrator`, a subclass of `Calibrator`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from collab.calibrating.steps import SignalledText
from collab.capabilities import Capabilities, Need
from collab.signals import Observation

Signal = Sequence[float | None]
"""One number for each step, `None` where there is no opinion; higher means worse."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where signals are from.

    Attributes:
        generator: Name of the model.
        fingerprint: Of its weights; empty if unknown.
        hidden_size: Width of its states; `None` if it hands over none.
        problems_sha256: Of the problems.
    """

    generator: str
    fingerprint: str
    hidden_size: int | None
    problems_sha256: str


class Fitted(Protocol):
    """Thresholds for every boldness."""

    def options(self, boldness: float) -> dict[str, object]:
        """Return the options of the recipe that are calibrated.

        Args:
            boldness: In [0, 1]; 0 asks never or nearly never, 1 at every step that has an opinion.
                More never asks less.
        """
        ...

    def signals(self, text: SignalledText) -> Mapping[str, Signal]:
        """Return what could tell bad steps from good ones, cheap controls among it."""
        ...

    def save(
        self, folder: Path, boldness: float, record: Mapping[str, JsonValue]
    ) -> dict[str, JsonValue]:
        """Write what the options need into a folder; return the options for a command line.

        Args:
            folder: It is there.
            boldness: The one that was chosen.
            record: Target, expectation and report, for people.

        Raises:
            OSError: It cannot be written.
        """
        ...


class Calibrator(BaseModel):
    """Base of calibrators: a frozen value whose fields are its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def placeholder(self) -> dict[str, object]:
        """Options with which the recipe can be made before it is calibrated."""
        return {}

    @property
    def needs(self) -> Sequence[Need]:
        """What the signals need of the generator."""
        return ()

    @property
    def observations(self) -> Sequence[Observation]:
        """The states among them."""
        return ()

    @property
    def reading(self) -> dict[str, JsonValue]:
        """The options that decide what is recorded: what was recorded otherwise is not mixed in."""
        return {}

    def for_model(self, capabilities: Capabilities) -> Self:
        """Return this calibrator with what depends on the generator filled in.

        Raises:
            ConfigError: It does not fit the model, such as a layer that is not there.
        """
        return self

    def fit(self, texts: Sequence[SignalledText], source: Source) -> Fitted:
        """Learn how the signals are spread. Equal arguments give an equal result.

        Raises:
            TrainingError: There are too few steps.
        """
        raise NotImplementedError
