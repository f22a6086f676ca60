"""The protocol of extractors: how a kind of steerer makes its vector from steps.

A steerer whose vector can be extracted has a class attribute `extractor`, a subclass of
`Extractor`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from collab.errors import ConfigError
from collab.extraction.cards import VectorCard
from collab.extraction.steps import SteppedText
from collab.options import Layers

LAYER_SHARE = 0.72
"""Where in a model's blocks steering is by default."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A vector that was made, not yet on disk.

    Attributes:
        vector: As long as the hidden size.
        layer: Whose states it was made of.
        scale: Suggested factor, with its sign.
        convention: What it is the difference of.
        measures: What is worth knowing of it.
        warnings: What may be wrong with it, for people.
    """

    vector: Sequence[float] = field(repr=False)
    layer: int
    scale: float
    convention: str
    measures: Mapping[str, JsonValue]
    warnings: tuple[str, ...] = ()


class Extractor(BaseModel):
    """Base of extractors: a frozen value whose fields are its options.

    Attributes:
        steerer: The name of the plug-in that its vectors are for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steerer: ClassVar[str]

    layers: Layers = Field(
        default=(),
        description="Layers whose states are read, from 0; by default the steered one.",
    )
    layer: int | None = Field(
        default=None,
        ge=0,
        description=f"The block that is steered; the first of `layers`, or at {LAYER_SHARE:g} of "
        "all blocks.",
    )
    thinking_end: str | None = Field(
        default="</think>",
        min_length=1,
        description="Only steps before this tag are used; null for texts of one phase.",
    )

    @property
    def samples(self) -> int:
        """How often each step is written again from the delimiter that opens it."""
        return 0

    @property
    def sample_tokens(self) -> int:
        """How long it is written then."""
        return 0

    @property
    def reading(self) -> dict[str, JsonValue]:
        """The options that decide what is collected: what was otherwise is not mixed with it."""
        read = self.layers_read(None)
        told: dict[str, JsonValue] = {"layers": list(read), "thinking_end": self.thinking_end}
        if self.samples:
            told |= {"samples": self.samples, "sample_tokens": self.sample_tokens}
        return told

    def layers_read(self, blocks: int | None) -> tuple[int, ...]:
        """Return whose states are read in a model of so many blocks; none if they are unknown.

        Raises:
            ConfigError: The model has no such block.
        """
        read = self.layers or (() if self.layer is None else (self.layer,))
        if blocks is None:
            return read
        read = read or (default_layer(blocks),)
        steered = read[0] if self.layer is None else self.layer
        if wrong := [one for one in {*read, steered} if one >= blocks]:
            raise ConfigError(
                f"layer {wrong[0]} is out of range; this model has {blocks} blocks, so layers 0 to "
                f"{blocks - 1} here"
            )
        if steered not in read:
            raise ConfigError(
                f"layer {steered} is to be steered, but only the states of "
                f"{', '.join(map(str, read))} are read; name it in `layers`"
            )
        return read

    def steered_layer(self, read: Sequence[int]) -> int:
        """Return whose input is steered, of the layers that were read."""
        return read[0] if self.layer is None else self.layer

    def extract(self, texts: Sequence[SteppedText]) -> Extracted:
        """Make the vector. Equal arguments give an equal one.

        Raises:
            TrainingError: It cannot be made of these.
        """
        raise NotImplementedError

    def save(self, folder: Path, vector: Sequence[float], card: VectorCard) -> Path:
        """Write a vector, with its card, into a folder that is there; return the file.

        Raises:
            OSError: It cannot be written.
        """
        raise NotImplementedError


def default_layer(blocks: int) -> int:
    """Return the block that is steered if none is named.

    References:
        RankGuide, arXiv:2604.16694: published vectors are added at 0.70 to 0.78 of the blocks.
    """
    return min(max(round(LAYER_SHARE * blocks), 0), blocks - 1)
