"""Cards: what was made of a collection, beside what was made."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from collab.durable_files import replace_file
from collab.errors import RunDirectoryError

CARD_NAME = "card.json"

C = TypeVar("C", bound=BaseModel)


class TrainedOn(BaseModel):
    """The generator whose states were read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="The name used in the run.")
    fingerprint: str = Field(
        description="Fingerprint of its weights; empty if its backend gives none."
    )


def save_with_card(folder: Path, card: C, save: Callable[[Path, C], Path]) -> Path:
    """Save what was made, with its card beside it; return its file.

    Args:
        folder: Where it was collected.
        card: What it is.
        save: Writes it into a folder, with its card inside.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    try:
        path = save(folder, card)
        replace_file(folder / CARD_NAME, card.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write into {folder}: {error}; what was collected is safely there, run the "
            "same command again"
        ) from error
    return path
