"""Calibrating a threshold on the entropy of a step's first token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from collab.calibrating.calibrator import Calibrator, Fitted, Signal, Source
from collab.calibrating.steps import SignalledText
from collab.capabilities import Need
from collab.roles import GENERATOR
from collab_policies.entropy import TopK
from collab_policies.rank.calibrator import FittedRank, RankCalibrator, from_top


class EntropyCalibrator(Calibrator):
    """Learn how the entropy of first tokens is spread; no hidden states are read."""

    top_k: TopK = 20

    @property
    def placeholder(self) -> dict[str, object]:
        """A threshold out of reach."""
        return {"threshold_nats": 99.0}

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's entropy."""
        return (Need(GENERATOR, "entropy", self.top_k),)

    @property
    def reading(self) -> dict[str, JsonValue]:
        """Which entropy."""
        return {"top_k": self.top_k}

    def fit(self, texts: Sequence[SignalledText], source: Source) -> Fitted:
        """Learn the scale."""
        fitted = RankCalibrator(top_k=self.top_k).fit(texts, source)
        assert isinstance(fitted, FittedRank), "made right here"
        return FittedEntropy(fitted)


@dataclass(frozen=True, slots=True)
class FittedEntropy:
    """The threshold for every boldness: one option, no file."""

    spread: FittedRank

    def options(self, boldness: float) -> dict[str, object]:
        """Return the threshold that so many first tokens reach."""
        return {"threshold_nats": self._threshold(boldness)}

    def signals(self, text: SignalledText) -> Mapping[str, Signal]:
        """Return entropy and surprise, and cheap controls beside them."""
        found = self.spread.signals(text)
        return {
            name: values for name, values in found.items() if any(v is not None for v in values)
        }

    def save(
        self, folder: Path, boldness: float, record: Mapping[str, JsonValue]
    ) -> dict[str, JsonValue]:
        """Write nothing: the threshold says it all."""
        return {"threshold_nats": self._threshold(boldness)}

    def _threshold(self, boldness: float) -> float:
        return max(from_top(self.spread.calibration.scales["entropy_first"], boldness), 0.0)
