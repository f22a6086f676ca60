"""The card of a steering vector: of whose states it was made, how, and how it is applied."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from collab.collecting.cards import TrainedOn

FORMAT: Literal[1] = 1


class VectorCard(BaseModel):
    """What a steering vector is, kept beside it and inside its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    steerer: str = Field(description="The plug-in it was made for.")
    generator: TrainedOn = Field(description="The only generator that it steers.")
    blocks: int = Field(ge=1, description="Number of blocks of the generator.")
    layer: int = Field(ge=0, description="It is added to the input of this block.")
    hidden_size: int = Field(ge=1, description="Its length.")
    convention: str = Field(description="Which difference it is, and its sign.")
    scale: float = Field(description="Suggested factor, with the sign that the convention needs.")
    extractor: dict[str, JsonValue] = Field(description="The extractor's options.")
    data: dict[str, JsonValue] = Field(description="What it was made from.")
    measures: dict[str, JsonValue] = Field(description="Counts, norms and cosines.")
    versions: dict[str, JsonValue] = Field(description="Versions of what it was made with.")
