"""How a network is trained: options that need no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingOptions(BaseModel):
    """When training ends, and what each of its steps is like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=100, ge=1, description="Most epochs.")
    patience: int = Field(
        default=10, ge=0, description="Epochs without improvement before it stops; 0 for never."
    )
    set_aside: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the problems that decides when to stop."
    )
    batch_size: int = Field(default=64, ge=2, description="Branches in a batch.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, description="Of AdamW.")
    is_balanced: bool = Field(
        default=False,
        description="Weigh both classes equally, however rare one is; scores are then no "
        "probabilities.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device on which it is trained."
    )
