"""The card of a trained verifier: what it was trained on, and how well it did."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from collab.collecting.cards import TrainedOn

FORMAT: Literal[1] = 1


class Card(BaseModel):
    """What a trained verifier is, kept beside its weights and inside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    verifier: str = Field(description="The plug-in it was made for.")
    generator: TrainedOn = Field(description="The only generator on which it runs.")
    mentors: dict[str, str] = Field(description="Names of the models that proposed, by role.")
    threshold: float = Field(
        ge=0, le=1, description="The generator's segment stands above this score."
    )
    trainer: dict[str, JsonValue] = Field(description="The trainer's options.")
    data: dict[str, JsonValue] = Field(description="What it was trained and measured on.")
    metrics: dict[str, JsonValue] = Field(description="Measures on the problems held out.")
    training: dict[str, JsonValue] = Field(description="How it was trained.")
