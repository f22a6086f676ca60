"""The protocol of trainers: how a kind of verifier learns from branches.

A verifier that can be trained has a class attribute `trainer`, a subclass of `Trainer`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from collab.capabilities import Need
from collab.protocols import Case, VerifierDesk
from collab.training.cards import Card
from collab.training.examples import Example


class Trained(Protocol):
    """What a trainer has learnt, not yet on disk."""

    @property
    def notes(self) -> Mapping[str, JsonValue]:
        """What is worth knowing of how it was learnt."""
        ...

    def scores(self, states: Sequence[Sequence[float]]) -> list[float]:
        """Return, for each state, the probability in `[0, 1]` that the generator's way is right."""
        ...

    def save(self, folder: Path, card: Card) -> Path:
        """Write it, with its card, into a folder that is there; return the file.

        Raises:
            OSError: It cannot be written.
        """
        ...


class Trainer(BaseModel):
    """Base of trainers: a frozen value whose fields are its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        default=0.5, ge=0, le=1, description="The generator's segment stands above this score."
    )

    @property
    def needs(self) -> Sequence[Need]:
        """What reading a branch asks of the models."""
        return ()

    @property
    def reading(self) -> dict[str, JsonValue]:
        """The options that decide what is read: what was read otherwise is not mixed with it."""
        return {}

    async def read(self, case: Case, desk: VerifierDesk) -> Sequence[float]:
        """Return what the verifier is to see at a branch: numbers, always equally many.

        Raises:
            ContextOverflowError: There is no room for looking.
        """
        raise NotImplementedError

    def fit(self, examples: Sequence[Example], *, seed: int) -> Trained:
        """Learn. Equal arguments give an equal result, on one machine.

        Args:
            examples: Both classes are among them.
            seed: Of every random choice.

        Raises:
            TrainingError: It cannot be learnt here.
        """
        raise NotImplementedError
