"""Calibrating the rank recipes: scales, thresholds for every boldness, and signals to compare."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Self

import numpy as np
from pydantic import Field, JsonValue

from collab.calibrating.calibrator import Calibrator, Fitted, Signal, Source
from collab.calibrating.steps import SignalledStep, SignalledText
from collab.capabilities import Capabilities, Need
from collab.errors import ConfigError, TrainingError
from collab.options import Layers
from collab.roles import GENERATOR
from collab.signals import Observation
from collab_policies.rank.calibration_file import Calibration, SignalScale
from collab_policies.rank.controls import indices, overlaps, reflections, repeats
from collab_policies.rank.following import RankFollower
from collab_policies.rank.normalising import Matrix, Normaliser, State, calibration_means
from collab_policies.rank.observing import observations, opening_states
from collab_policies.rank.options import Modes, Notion, RankOptions, upper_layers

_OUT_OF_REACH = {
    "uncertainty": math.inf,
    "uncertainty_mean": math.inf,
    "overconfidence": -1.0,
    "revalidation": -1.0,
    "rank": -1.0,
    "soft": math.inf,
}
REVALIDATION_SHARE = 0.5
"""Of the steps that count as overconfident, so many count as going in circles."""


class RankCalibrator(Calibrator):
    """Learn how entropy and rank are spread over the steps that a generator writes alone.

    References:
        RankGuide, arXiv:2604.16694. Its thresholds are not known to us. Here they are quantiles on
        held-out problems: of boldness b, entropies in the upper 1 - (1 - b)^(2 - 2w) and ranks in
        the lower 1 - (1 - b)^(2w) ask, with w = `rank_part`.
    """

    layers: Layers = Field(
        default=(),
        description="Layers whose states are read; by default one at three quarters of them.",
    )
    window: int = Field(default=8, ge=2, description="Number of last steps that are used.")
    notion: Notion = Field(default="effective", description="Notion of rank.")
    modes: Modes = Field(default="step", description="Modes of the rank.")
    top_k: int = Field(
        default=20, ge=2, description="Number of likeliest tokens the entropy is taken over."
    )
    rank_part: float = Field(
        default=0.5, ge=0, le=1, description="How much of the asking is the rank's."
    )
    weight: float = Field(default=1.0, ge=0, description="Weight of the rank in the soft rule.")

    @property
    def placeholder(self) -> dict[str, object]:
        """A calibration whose thresholds are out of reach."""
        blank = Calibration(
            generator="not calibrated yet",
            rank=RankOptions(layers=(0,)),
            entropy_top_k=self.top_k,
            thresholds=_OUT_OF_REACH,
        )
        return {"calibration": blank}

    @property
    def needs(self) -> Sequence[Need]:
        """The generator's entropy, and its hidden states if it has any."""
        return (
            Need(GENERATOR, "entropy", self.top_k),
            Need(
                GENERATOR, "hidden_states", degraded="entropy only, as there are no hidden states"
            ),
        )

    @property
    def observations(self) -> Sequence[Observation]:
        """States at the delimiters of steps."""
        return observations(self._options) if self.layers else ()

    @property
    def reading(self) -> dict[str, JsonValue]:
        """What decides which states are recorded."""
        return self.model_dump(mode="json", include={"layers", "top_k"})

    @property
    def _options(self) -> RankOptions:
        return RankOptions(
            layers=self.layers, window=self.window, notion=self.notion, modes=self.modes
        )

    def for_model(self, capabilities: Capabilities) -> Self:
        """Return this calibrator with layers that the model has; none without hidden states."""
        if not capabilities.has_hidden_states:
            return self.model_copy(update={"layers": ()})
        blocks = capabilities.blocks
        if self.layers:
            if blocks is not None and max(self.layers) > blocks:
                raise ConfigError(
                    f"layer {max(self.layers)} is out of range; this model has {blocks} blocks, so "
                    f"layers 0 to {blocks}"
                )
            return self
        if blocks is None:
            raise ConfigError("this model does not say how many blocks it has; name the layers")
        return self.model_copy(update={"layers": upper_layers(blocks, 1)})

    def fit(self, texts: Sequence[SignalledText], source: Source) -> Fitted:
        """Learn means and scales."""
        options = self._options if self.layers else None
        means = _means(texts, options) if options else None
        blank = Calibration(
            generator=source.generator,
            fingerprint=source.fingerprint,
            hidden_size=source.hidden_size,
            rank=options,
            entropy_top_k=self.top_k,
            means=None if means is None else tuple(map(tuple, means.tolist())),
            weight=self.weight,
            data={
                "problems_sha256": source.problems_sha256,
                "problems": len(texts),
                "steps": sum(len(text.steps) for text in texts),
            },
        )
        ranks = [rank for text in texts for rank in _ranks(text, blank)]
        columns = _columns(texts, ranks)
        scales = {name: _scale(values) for name, values in columns.items() if len(values) > 1}
        if "entropy_first" not in scales and "rank" not in scales:
            raise TrainingError("no step has an entropy or a rank; nothing can be calibrated")
        if options and "rank" not in scales:
            raise TrainingError(
                "no text has enough steps with usable states for a rank; take longer texts, or "
                f"check the states of the layers {', '.join(map(str, self.layers))}"
            )
        spread = blank.model_copy(update={"scales": scales})
        soft = None
        if "entropy_first" in scales:
            soft = _scale(list(_soft_scores(texts, ranks, spread)))
        return FittedRank(spread, soft, self.rank_part)


@dataclass(frozen=True, slots=True)
class FittedRank:
    """Scales of one generator, and thresholds for every boldness.

    Attributes:
        calibration: Without thresholds.
        soft: Scale of the soft rule's sum.
        rank_part: How much of the asking is the rank's.
    """

    calibration: Calibration
    soft: SignalScale | None
    rank_part: float

    def options(self, boldness: float) -> dict[str, object]:
        """Return the calibration with thresholds."""
        return {"calibration": self._with_thresholds(boldness)}

    def signals(self, text: SignalledText) -> Mapping[str, Signal]:
        """Return entropy, rank and surprise, and cheap controls beside them."""
        words = [step.text for step in text.steps]
        ranks = list(_ranks(text, self.calibration))
        return {
            "entropy, first token": [_first(step.entropies) for step in text.steps],
            "entropy, mean": [_mean(step.entropies) for step in text.steps],
            "surprise, mean": [_negated(_mean(step.logprobs)) for step in text.steps],
            "low rank": [_negated(rank) for rank in ranks],
            "cosine to the step before": list(_cosines(text, self.calibration)),
            "exact repeat": repeats(words),
            "n-gram overlap": overlaps(words),
            "reflection keyword": reflections(words),
            "step index": indices(words),
        }

    def save(
        self, folder: Path, boldness: float, record: Mapping[str, JsonValue]
    ) -> dict[str, JsonValue]:
        """Write `calibration.json`."""
        target = record.get("target")
        made = self._with_thresholds(boldness).model_copy(
            update={"target": target if isinstance(target, dict) else {}, "report": dict(record)}
        )
        path = folder / "calibration.json"
        made.save(path)
        return {"calibration": str(path)}

    def _with_thresholds(self, boldness: float) -> Calibration:
        scales = self.calibration.scales
        rest = 1 - boldness
        upper = 1 - rest ** (2 * (1 - self.rank_part))
        lower = 1 - rest ** (2 * self.rank_part)
        found: dict[str, float] = {}
        if "entropy_first" in scales:
            found["uncertainty"] = from_top(scales["entropy_first"], upper)
            found["uncertainty_mean"] = from_top(scales["entropy_mean"], upper)
        if "rank" in scales:
            found["rank"] = from_bottom(scales["rank"], boldness)
            found["overconfidence"] = from_bottom(scales["rank"], lower)
            found["revalidation"] = from_bottom(scales["rank"], lower * REVALIDATION_SHARE)
        if self.soft:
            found["soft"] = from_top(self.soft, boldness)
        return self.calibration.model_copy(update={"thresholds": found})


def from_top(scale: SignalScale, share: float) -> float:
    """Return the value that so large a share of the steps reaches."""
    if share <= 0:
        return math.nextafter(scale.quantiles[-1], math.inf)
    return _quantile(scale, 1 - share)


def from_bottom(scale: SignalScale, share: float) -> float:
    """Return the value that so large a share of the steps does not exceed; -1 for none."""
    return -1.0 if share <= 0 else _quantile(scale, share)


def _quantile(scale: SignalScale, share: float) -> float:
    place = min(max(share, 0.0), 1.0) * (len(scale.quantiles) - 1)
    below = int(place)
    above = min(below + 1, len(scale.quantiles) - 1)
    low, high = scale.quantiles[below], scale.quantiles[above]
    return low + (high - low) * (place - below)


def _scale(values: Sequence[float]) -> SignalScale:
    return SignalScale(
        mean=fmean(values),
        deviation=pstdev(values),
        quantiles=tuple(np.quantile(values, np.linspace(0, 1, 101)).tolist()),
        steps=len(values),
    )


def _columns(
    texts: Sequence[SignalledText], ranks: Sequence[float | None]
) -> dict[str, list[float]]:
    steps = [step for text in texts for step in text.steps]
    found: dict[str, list[float | None]] = {
        "entropy_first": [_first(step.entropies) for step in steps],
        "entropy_mean": [_mean(step.entropies) for step in steps],
        "rank": list(ranks),
    }
    return {name: [one for one in column if one is not None] for name, column in found.items()}


def _soft_scores(
    texts: Sequence[SignalledText], ranks: Sequence[float | None], spread: Calibration
) -> Iterator[float]:
    entropy, rank = spread.scales["entropy_first"], spread.scales.get("rank")
    steps = [step for text in texts for step in text.steps]
    for step, low in zip(steps, ranks, strict=True):
        first = _first(step.entropies)
        total = 0.0 if first is None else entropy.z(first)
        yield total - (spread.weight * rank.z(low) if rank and low is not None else 0.0)


def _ranks(text: SignalledText, calibration: Calibration) -> Iterator[float | None]:
    """Yield the rank score at each step, as a policy after the step would read it."""
    if calibration.rank is None:
        yield from [None] * len(text.steps)
        return
    follower = RankFollower(calibration.rank, calibration.means)
    for unit, step in enumerate(text.steps):
        yield follower.score(step.draft(unit, ""))


def _cosines(text: SignalledText, calibration: Calibration) -> Iterator[float | None]:
    """Yield the cosine between the states that open and close a step, over all layers."""
    normaliser = Normaliser(calibration.means)
    for step in text.steps:
        sides = [_normalised(step, normaliser, calibration, is_closing=side) for side in (0, 1)]
        if sides[0] is None or sides[1] is None:
            yield None
            continue
        size = float(np.linalg.norm(sides[0]) * np.linalg.norm(sides[1]))
        yield float(np.vdot(sides[0], sides[1])) / size if size else None


def _normalised(
    step: SignalledStep, normaliser: Normaliser, calibration: Calibration, *, is_closing: int
) -> Matrix | None:
    if calibration.rank is None:
        return None
    draft = step.draft(0, "")
    states = opening_states(draft.beyond if is_closing else draft.tokens, calibration.rank)
    return None if states is None else normaliser.step(states)


def _means(texts: Sequence[SignalledText], options: RankOptions) -> Matrix:
    def states() -> Iterator[Sequence[State]]:
        for text in texts:
            for unit, step in enumerate(text.steps):
                draft = step.draft(unit, "")
                # A step's closing state opens the next one; only the last has one of its own.
                sides = (draft.tokens, draft.beyond if step is text.steps[-1] else ())
                for tokens in sides:
                    found = opening_states(tokens, options)
                    if found is not None:
                        yield found

    return calibration_means(states())


def _first(values: Sequence[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _negated(value: float | None) -> float | None:
    return None if value is None else -value
