"""Reading back what was collected."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from collab.collecting.older import models_of
from collab.errors import TrainingError
from collab.plugins import explain
from collab.roles import GENERATOR
from collab.runs.rows import Row
from collab.runs.run_files import read_rows


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that took part.

    Attributes:
        name: As in ledgers.
        fingerprint: Of its weights; empty if unknown.
        blocks: How many it has; `None` if unknown.
        hidden_size: Width of its states; `None` if it hands over none.
    """

    name: str
    fingerprint: str
    blocks: int | None = None
    hidden_size: int | None = None


_Models = TypeAdapter(dict[str, KnownModel])


@dataclass(frozen=True, slots=True)
class CollectedRows:
    """The rows of a collection.

    Attributes:
        folder: Where they are.
        rows: In the order of their problems, failed ones included.
        models: Those that took part, by role; none without rows.
    """

    folder: Path
    rows: tuple[Row, ...]
    models: Mapping[str, KnownModel]

    @property
    def finished(self) -> tuple[Row, ...]:
        """Those that did not fail."""
        return tuple(row for row in self.rows if row["outcome"] != "error")

    @property
    def failed(self) -> int:
        """How many failed; the next call tries them again."""
        return len(self.rows) - len(self.finished)

    @property
    def failure(self) -> str:
        """How many failed and why the first did, to put into a message; empty if none did."""
        errors = [row["error"] for row in self.rows if isinstance(row["error"], dict)]
        if not errors:
            return ""
        return f"; {len(errors)} problems failed, the first: {errors[0].get('message')}"


def read_collection(folder: Path, command: str) -> CollectedRows:
    """Return the rows that a command has collected in a directory.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It was not written by this command, or holds states of several generators.
    """
    found = read_rows(folder).values()
    rows = sorted(found, key=lambda row: (int(str(row.get("place", 0))), str(row["id"])))
    models: dict[str, KnownModel] = {}
    generators: set[tuple[str, str]] = set()
    for row in rows:
        with telling_damage(folder, command, row):
            models = _Models.validate_python(models_of(row))
            generators.add((models[GENERATOR].name, models[GENERATOR].fingerprint))
    if len(generators) > 1:
        prints = ", ".join(sorted(fingerprint for _, fingerprint in generators))
        raise TrainingError(
            f"{folder} holds states of {len(generators)} generators (fingerprints {prints}): the "
            "model was replaced while they were collected; begin in another directory"
        )
    return CollectedRows(folder, tuple(rows), models)


@contextmanager
def telling_damage(folder: Path, command: str, row: Row) -> Iterator[None]:
    """Tell what is missing or damaged in a row, by its problem.

    Raises:
        TrainingError: The block raised a KeyError or ValueError.
    """
    try:
        yield
    except (KeyError, ValueError) as error:
        why = "; ".join(explain(error)) if isinstance(error, ValidationError) else str(error)
        raise TrainingError(
            f"{folder} is not a directory of `collab {command}`, or is damaged at the problem "
            f"{row['id']!r}: {why}"
        ) from error
