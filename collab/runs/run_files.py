"""Reading the files of a run directory back: whatever damaged them is named by file and line."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from collab.durable_files import read_file, read_whole_lines
from collab.errors import RunDirectoryError
from collab.grading import Outcome
from collab.runs.prices import PriceSource
from collab.runs.rows import Row
from collab.trace import SpanKind
from collab.usage import Usage

FORMAT = 1
"""Version of the directory's files."""

Count = Annotated[int, Field(ge=0, le=1 << 62)]


def _known_count(name: str) -> str:
    if name not in _COUNTS:
        raise ValueError(f"unknown count {name!r}")
    return name


_COUNTS = frozenset(one.name for one in fields(Usage))
_Counts = dict[
    Annotated[str, AfterValidator(_known_count)],
    Annotated[float, Field(ge=-(1 << 62), le=1 << 62, allow_inf_nan=False)],
]


class _Span(BaseModel):
    model_config = ConfigDict(strict=True)

    author: str
    kind: SpanKind
    tokens: Count
    text: str


class AbandonedShape(BaseModel):
    """What code relies on in a line of abandoned.jsonl."""

    model_config = ConfigDict(strict=True)

    id: str
    usage: dict[str, _Counts]
    calls: list[JsonValue]


class ResultShape(BaseModel):
    """What code relies on in a line of results.jsonl."""

    model_config = ConfigDict(strict=True)

    id: str
    outcome: Outcome
    usage: dict[str, _Counts]
    spans: list[_Span]
    attempt: Annotated[int, Field(ge=1, le=1 << 31)]


class _Prices(BaseModel):
    prices: dict[str, dict[str, str]] | None = None


_Versions = TypeAdapter(list[_Prices])


def read_rows(folder: Path) -> dict[str, Row]:
    """Return the newest row of each problem of a run directory, by id; it may be in use.

    Raises:
        RunDirectoryError: It cannot be read, or is damaged.
    """
    return {str(row["id"]): row for row in read_attempts(folder)}


def read_attempts(folder: Path) -> list[Row]:
    """Return all rows of a run directory in the order of writing, earlier attempts included.

    Raises:
        RunDirectoryError: It cannot be read, or is damaged.
    """
    return read_lines(folder / "results.jsonl", ResultShape)


def read_lines(path: Path, shape: type[BaseModel]) -> list[Row]:
    """Return the lines of a file as JSON objects that have `shape`; none if there is no file.

    Raises:
        RunDirectoryError: It cannot be read, or a line is damaged.
    """
    try:
        lines = read_whole_lines(path)
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read: {error}") from error
    return [_parse_row(path, number, line, shape) for number, line in enumerate(lines, start=1)]


def read_config(folder: Path) -> dict[str, JsonValue] | None:
    """Return what config.json holds; `None` if there is none.

    Raises:
        RunDirectoryError: It cannot be read, is damaged or has another format.
    """
    path = folder / "config.json"
    try:
        known = json.loads(read_file(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} cannot be read: {error}") from error
    if not isinstance(known, dict):
        raise RunDirectoryError(f"{path} is damaged: expected a JSON object")
    if known.get("format") != FORMAT:
        raise RunDirectoryError(
            f"{folder} has the format {known.get('format')!r}, this version of collab "
            f"reads {FORMAT}; use another directory"
        )
    _ensure_versions(path, known.get("versions", []))
    return known


def attempt_of(line: bytes) -> tuple[JsonValue, JsonValue] | None:
    """Return the id and attempt that a ledger's line belongs to; `None` if it is damaged."""
    try:
        ledger = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(ledger, dict):
        return None
    problem, attempt = ledger.get("id"), ledger.get("attempt")
    is_fine = isinstance(problem, str) and isinstance(attempt, int)
    return (problem, attempt) if is_fine else None


def _ensure_versions(path: Path, versions: object) -> None:
    """Refuse a record of versions that does not say what `RunStore.begin` writes."""
    try:
        for one in _Versions.validate_python(versions):
            for source in (one.prices or {}).values():
                PriceSource(**source)
    except (ValidationError, TypeError) as error:
        raise RunDirectoryError(
            f"{path} is damaged: its `versions` are not as they were written; restore it, or use "
            "another directory"
        ) from error


def _parse_row(path: Path, number: int, line: bytes, shape: type[BaseModel]) -> Row:
    try:
        row: Row = json.loads(line, parse_constant=_refuse_constant)
        if not isinstance(row, Mapping):
            raise ValueError("it is not a JSON object")  # noqa: TRY004, TRY301  # told as damage
        shape.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        why = f"it is not a row of {path.stem}: {where}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        why = str(error)
    else:
        return row
    raise RunDirectoryError(
        f"{path} is damaged on line {number}: {why}; remove that line to have its problem done "
        "again"
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
