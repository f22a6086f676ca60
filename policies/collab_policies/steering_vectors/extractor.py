"""The extractor of the steerer `vector`. Imports safetensors only where it saves."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from collab.errors import TrainingError
from collab.extraction.cards import VectorCard
from collab.extraction.extractor import Extracted, Extractor
from collab.extraction.steps import States, SteppedText
from collab.texts import how_to_install
from collab_policies.rank.normalising import Matrix, calibration_means
from collab_policies.rank.options import Notion, RankOptions
from collab_policies.steering_vectors.selecting import Mask, Pools, Scores, Select, Steps, pools_of
from collab_policies.thoughts import SEAL_KEYWORDS, Keywords, thought_of

STEERER = "vector"


class VectorExtractor(Extractor):
    """Make the difference of two pools' mean states at the delimiters that open their steps.

    `all` is SEAL's: mean(reflection and transition) - mean(execution), applied with -1. The others
    filter what it is made of:

    - `rank`: mean(execution of high rank) - mean(reflection and transition), applied with +1. High
      is a score of at least the `percentile` of all steps; with 0 it is SEAL's, turned round.
    - `rank-texts`: the same without the filter, of the texts whose mean score is high.
    - `rank-contrast`: mean(high) - mean(low), whatever the words say.
    - `stable`: SEAL's, of steps that do the same when the generator writes them again, sampled,
      from the delimiter that opens them.

    The score of a step is that of `collab_policies.rank` over the window that ends with it, with
    calibration means of the collected states. Steps without one (the first two of a text) are kept.

    References:
        SEAL, arXiv:2504.07986. RankGuide, arXiv:2604.16694, filters samples of low rank; its
        rank and formula are not known to us, so the three ways by rank are readings of ours. That
        most steps found by keywords do not come again, and that stable ones make a better vector,
        is from arXiv:2604.02113.
    """

    steerer: ClassVar[str] = STEERER

    select: Select = Field(default="all", description="Which steps the vector is made from.")
    percentile: float = Field(
        default=60, ge=0, lt=100, description="Percentile of rank scores; ranks below it are low."
    )
    window: int = Field(default=8, ge=2, description="Number of last steps whose rank is taken.")
    notion: Notion = Field(default="effective", description="Notion of rank.")
    rank_layers: tuple[int, ...] = Field(
        default=(), description="Layers whose rank is taken; by default the steered one."
    )
    rewrites: int = Field(
        default=8, ge=1, description="For `stable`: how often each step is written again."
    )
    rewrite_tokens: int = Field(
        default=64, ge=1, description="For `stable`: most tokens of a rewrite."
    )
    stable_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="For `stable`: share of rewrites that must do the same.",
    )
    keywords: Keywords = Field(
        default=SEAL_KEYWORDS, description="Words that decide a step's class."
    )

    @model_validator(mode="after")
    def _has_what_is_ranked(self) -> Self:
        read = self.layers_read(None)
        if self.rank_layers and not set(self.rank_layers) <= set(read):
            raise ValueError("rank_layers have to be among `layers`")
        return self

    @property
    def samples(self) -> int:
        """Those of `stable`."""
        return self.rewrites if self.select == "stable" else 0

    @property
    def sample_tokens(self) -> int:
        """How long they are at most."""
        return self.rewrite_tokens

    def extract(self, texts: Sequence[SteppedText]) -> Extracted:
        """Make the vector."""
        read = texts[0].layers
        layer = self.steered_layer(read)
        place = read.index(layer)
        steps = self._steps(texts, read, self.rank_layers or (layer,))
        pools = pools_of(
            steps, self.select, percentile=self.percentile, stable_share=self.stable_share
        )
        vector = _difference(texts, steps, pools, place)
        seal_pools = pools_of(steps, "all", percentile=0, stable_share=1)
        seal = _difference(texts, steps, seal_pools, place)
        directed = vector * pools.scale
        return Extracted(
            vector=vector.tolist(),
            layer=layer,
            scale=pools.scale,
            convention=pools.convention,
            measures=_counts(steps, pools)
            | {
                "norm": float(np.linalg.norm(vector)),
                "seal_norm": float(np.linalg.norm(seal)),
                "cosine_with_seal": _cosine(directed, -seal),
            },
        )

    def save(self, folder: Path, vector: Sequence[float], card: VectorCard) -> Path:
        """Write the vector."""
        try:
            # Policies can be installed without safetensors, and all else here works without.
            from collab_policies.steering_vectors.vector_file import (  # noqa: PLC0415
                VECTOR_NAME,
                save_vector,
            )
        except ImportError as error:
            raise TrainingError(
                f"writing a vector needs safetensors ({error}); {how_to_install('local')}"
            ) from error
        save_vector(folder / VECTOR_NAME, vector, card)
        return folder / VECTOR_NAME

    def _steps(
        self, texts: Sequence[SteppedText], read: Sequence[int], ranked: Sequence[int]
    ) -> Steps:
        options = RankOptions(layers=tuple(ranked), window=self.window, notion=self.notion)
        places = [read.index(layer) for layer in ranked]
        thoughts = [thought_of(step.text, self.keywords) for text in texts for step in text.steps]
        again = [
            [thought_of(one, self.keywords) for one in step.again]
            for text in texts
            for step in text.steps
        ]
        same = [
            found.count(thought) / len(found) if found else np.nan
            for thought, found in zip(thoughts, again, strict=True)
        ]
        numbers = [number for number, text in enumerate(texts) for _ in text.steps]
        return Steps(
            thoughts,
            np.array(numbers, dtype=np.int64),
            _scores(texts, options, places),
            np.array(same),
        )


def _scores(texts: Sequence[SteppedText], options: RankOptions, places: list[int]) -> Scores:
    """Return the rank score of every step over the window that ends with it."""

    def ranked(text: SteppedText) -> States:
        return text.states()[:, places] if text.steps else np.empty((0, len(places), 1), np.float32)

    def all_steps() -> Iterator[Sequence[States]]:
        for text in texts:
            yield from ranked(text)

    means = list(calibration_means(all_steps()))
    scores: list[float] = []
    for text in texts:
        trajectory = options.start(means)
        for states in ranked(text):
            is_usable = trajectory.push(states)
            score = options.score(trajectory) if is_usable else None
            scores.append(np.nan if score is None else score)
    return np.array(scores)


def _difference(texts: Sequence[SteppedText], steps: Steps, pools: Pools, place: int) -> Matrix:
    """Return the difference of the pools' means, in float64, rounded to float32.

    Sums run text by text, so that only one text's states are in memory.
    """
    plus, minus = (_mean(texts, steps, mask, place) for mask in (pools.plus, pools.minus))
    difference: Matrix = (plus - minus).astype(np.float32).astype(np.float64)
    if not np.isfinite(difference).all():
        raise TrainingError(
            "the states hold NaN or infinity, so no mean can be taken; check the model's dtype"
        )
    return difference


def _mean(texts: Sequence[SteppedText], steps: Steps, mask: Mask, place: int) -> Matrix:
    total: Matrix | None = None
    for number, text in enumerate(texts):
        chosen = mask[steps.texts == number]
        if chosen.any():
            own = text.states()[chosen, place].astype(np.float64).sum(axis=0)  # (m, d) -> (d,)
            total = own if total is None else total + own
    assert total is not None, "pools are not empty"
    mean: Matrix = total / int(mask.sum())
    return mean


def _counts(steps: Steps, pools: Pools) -> dict[str, JsonValue]:
    thoughts = Counter(steps.thoughts)
    known = ~np.isnan(steps.scores)
    rank: dict[str, JsonValue] = {
        thought: float(steps.scores[steps.are(thought) & known].mean())
        for thought in ("execution", "reflection", "transition")
        if (steps.are(thought) & known).any()
    }
    counts: dict[str, JsonValue] = {
        "execution": thoughts["execution"],
        "reflection": thoughts["reflection"],
        "transition": thoughts["transition"],
        "plus": int(pools.plus.sum()),
        "minus": int(pools.minus.sum()),
        "scored": int(known.sum()),
        "mean_rank": rank,
    }
    written_again = ~np.isnan(steps.same_again)
    if written_again.any():
        counts["same_again"] = float(steps.same_again[written_again].mean())
    return counts


def _cosine(one: Matrix, other: Matrix) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else 0.0
