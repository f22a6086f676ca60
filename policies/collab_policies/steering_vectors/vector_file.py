"""A steering vector on disk: safetensors with its card inside."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from collab.durable_files import replace_file
from collab.extraction.cards import VectorCard

VECTOR_NAME = "vector.safetensors"

_KEY = "vector"
_CARD_KEY = "card"


@dataclass(frozen=True, slots=True)
class LoadedVector:
    """A vector and its card."""

    vector: tuple[float, ...] = field(repr=False)
    card: VectorCard


def save_vector(path: Path, vector: Sequence[float], card: VectorCard) -> None:
    """Write a vector with its card as one file, in float32.

    Raises:
        OSError: It cannot be written.
    """
    content = save({_KEY: np.array(vector, np.float32)}, {_CARD_KEY: card.model_dump_json()})
    replace_file(path, content)


def load_vector(path: Path) -> LoadedVector:
    """Return the vector in a folder of `collab extract steering`, or in its file; read once.

    Raises:
        ValueError: There is none, it has no card, or its numbers are none.
    """
    file = path / VECTOR_NAME if path.is_dir() else path
    try:
        found = file.stat()
    except OSError as error:
        hint = "; has `collab extract steering` finished there?" if path.is_dir() else ""
        raise ValueError(f"there is no vector at {str(file)!r}{hint}") from error
    return _load(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _load(file: Path, _changed: int, _size: int) -> LoadedVector:
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            names = sorted(opened.keys())
            vector = opened.get_tensor(_KEY) if _KEY in names else None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(file)!r} is not a safetensors file: {error}") from error
    if _CARD_KEY not in metadata:
        raise ValueError(
            f"{str(file)!r} has no card inside, so it is unknown for which model and block it "
            "was made; make one with `collab extract steering`"
        )
    try:
        card = VectorCard.model_validate(json.loads(metadata[_CARD_KEY]))
    except ValueError as error:
        raise ValueError(f"the card in {str(file)!r} cannot be read: {error}") from error
    if vector is None or vector.shape != (card.hidden_size,):
        found = f"{_KEY} of the shape {vector.shape}" if vector is not None else ", ".join(names)
        raise ValueError(
            f"{str(file)!r} holds {found or 'nothing'}; its card names {_KEY!r} with "
            f"{card.hidden_size} numbers"
        )
    if not np.isfinite(vector).all():
        raise ValueError(f"{str(file)!r} holds values that are not numbers (NaN or infinity)")
    return LoadedVector(tuple(vector.astype(np.float32).tolist()), card)
