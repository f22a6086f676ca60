"""The steerer `vector`: a vector that was extracted is added where steps begin."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from collab.capabilities import Need
from collab.extraction.extractor import Extractor
from collab.options import Options
from collab.problems import Problem
from collab.protocols import Steerer, SteererSession
from collab.roles import GENERATOR
from collab.signals import Gate, Steering
from collab.texts import how_to_install
from collab_policies.steering_vectors.extractor import STEERER, VectorExtractor
from collab_policies.thoughts import Keywords, count_reflections, steps_of

if TYPE_CHECKING:
    from collab_policies.steering_vectors.vector_file import LoadedVector

_DELIMITER = "\n\n"


class VectorOptions(Options):
    """Which vector is added, where and how strongly."""

    path: Path = Field(description="A folder of `collab extract steering`, or the file in it.")
    scale: float | None = Field(
        default=None, allow_inf_nan=False, description="Scale with its sign, instead of the card's."
    )
    decay: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Subtracted from the scale for each step that reflects.",
    )
    layer: int | None = Field(default=None, ge=0, description="Block, instead of the card's.")
    token_texts: tuple[str, ...] = Field(
        default=(_DELIMITER,),
        description="Steer at tokens that contain one of these; at all if empty.",
    )
    is_exact: bool = Field(
        default=False, description="Steer only at tokens that equal one of `token_texts`."
    )


class Vector(VectorOptions, Steerer):
    r"""Add a steering vector to the generator's hidden states at the delimiters of its steps.

    What `collab extract steering` wrote steers only the generator that it was made of, told by
    the fingerprint of its weights. Each problem may have a vector and a scale of its own; all are
    decoded together. It is on at the prompt's last token and at every delimiter after it, also of
    what a mentor wrote, so that a text that is computed again is the same. Which end of thinking it
    stops at is the recipe's: see `phases`.

    References:
        SEAL, arXiv:2504.07986: at the input of one block, where the last token's text contains a
        blank line. With `is_exact` only where it is one, as in the published code of RankGuide,
        arXiv:2604.16694, which misses `.\n\n` and its like. The falling strength is SkipKV's: the
        scale less `decay` for every step so far that reflects; with a positive scale a negative
        `decay` makes it stronger.
    """

    extractor: ClassVar[type[Extractor]] = VectorExtractor

    @field_validator("path")
    @classmethod
    def _holds_a_vector(cls, path: Path) -> Path:
        card = _loaded(path).card
        if card.steerer != STEERER:
            raise ValueError(f"it holds a vector of the steerer {card.steerer!r}, not {STEERER!r}")
        return path

    @model_validator(mode="after")
    def _fits_its_card(self) -> Self:
        # Made here, so that what a card says wrongly is said before a run.
        VectorExtractor.model_validate(_loaded(self.path).card.extractor)
        blocks = _loaded(self.path).card.blocks
        if self.layer is not None and self.layer >= blocks:
            raise ValueError(f"layer {self.layer}; its generator has blocks 0 to {blocks - 1}")
        return self

    @property
    def needs(self) -> Sequence[Need]:
        """Steering of the generator that it was made of."""
        card = _loaded(self.path).card
        print_ = card.generator.fingerprint
        return (Need(GENERATOR, "steering", card.hidden_size, fingerprint=print_),)

    def start(self, problem: Problem, rng: random.Random) -> SteererSession:
        """Return a session; with a decay it remembers how many steps reflected."""
        loaded = _loaded(self.path)
        card = loaded.card
        steering = Steering(
            layer=card.layer if self.layer is None else self.layer,
            vector=loaded.vector,
            scale=card.scale if self.scale is None else self.scale,
            gate=Gate(self.token_texts, self.is_exact),
        )
        if not self.decay:
            return _SteadySession(steering)
        keywords = VectorExtractor.model_validate(card.extractor).keywords
        return _DecayingSession(steering, self.decay, keywords)


class _SteadySession(SteererSession):
    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def ahead(self) -> int:
        return sys.maxsize

    def steering(self, answer: str) -> Steering | None:
        return self._steering


class _DecayingSession(SteererSession):
    """Counts each complete step once, and anew where text was taken back."""

    def __init__(self, first: Steering, decay: float, keywords: Keywords) -> None:
        self._first = self._last = first
        self._decay = decay
        self._keywords = keywords
        self._counted = ""
        self._reflections = 0

    def steering(self, answer: str) -> Steering | None:
        self._count(answer)
        scale = self._first.scale - self._decay * self._reflections
        if scale != self._last.scale:
            first = self._first
            self._last = Steering(first.layer, first.vector, scale, first.gate)
        return self._last

    def _count(self, answer: str) -> None:
        if not answer.startswith(self._counted):
            self._counted, self._reflections = "", 0
        end = answer.rfind(_DELIMITER) + len(_DELIMITER)
        if end < max(len(self._counted), len(_DELIMITER)):
            return
        new = steps_of(answer[len(self._counted) : end])
        self._reflections += count_reflections(new, self._keywords)
        self._counted = answer[:end]


def _loaded(path: Path) -> "LoadedVector":
    """Return the vector at `path`, read once.

    Raises:
        ValueError: There is none, or safetensors is missing.
    """
    try:
        # Policies can be installed without safetensors; naming this steerer is what needs it.
        from collab_policies.steering_vectors.vector_file import load_vector  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(f"it needs safetensors ({error}); {how_to_install('local')}") from error
    return load_vector(path)
