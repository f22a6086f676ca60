"""Reading rows from where problems are kept: JSON Lines, CSV, Parquet, data sets of a hub.

One row that cannot be read stays one row: it is told with its number, and the others are read.
"""

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collab.errors import ProblemFileError
from collab.problems.hub import HUB_PREFIX, hub_rows
from collab.texts import how_to_install

_LONGEST_CELL = 1 << 24
_PACKED = {".gz": "gunzip", ".zst": "unzstd", ".xz": "unxz", ".bz2": "bunzip2", ".zip": "unzip"}
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a problems file.

    Attributes:
        number: Its line in text files, the last one if it has several; its row elsewhere; from 1.
        values: Its values by column.
        why_broken: Why it cannot be read; empty if it can.
    """

    number: int
    values: Mapping[str, object] = field(default_factory=dict)
    why_broken: str = ""


def read_records(source: str) -> Iterator[Record]:
    """Yield the rows of `source`: a file by its ending, else JSON Lines; or `hf://owner/name`.

    Raises:
        ProblemFileError: It cannot be read as a whole.
    """
    if source.startswith(HUB_PREFIX):
        for number, row in enumerate(hub_rows(source), start=1):
            yield Record(number, row)
        return
    path = Path(source).expanduser()
    if path.exists() and not path.is_file():
        raise ProblemFileError(
            f"cannot read problems from {source!r}: it is not a regular file. A run reads its "
            "problems again when it goes on, so save what comes through a pipe first"
        )
    if (suffix := path.suffix.lower()) in _PACKED:
        raise ProblemFileError(
            f"{source!r} is compressed; unpack it first, such as with `{_PACKED[suffix]} {source}`"
        )
    readers = {".csv": _csv_records, ".tsv": _csv_records, ".parquet": _parquet_records}
    yield from readers.get(suffix, _json_records)(path)


def content_digest(source: str) -> str:
    """Return a digest of what `read_records` reads there.

    Raises:
        ProblemFileError: It cannot be read.
    """
    if not source.startswith(HUB_PREFIX):
        return hashlib.sha256(_content(Path(source).expanduser())).hexdigest()
    digest = hashlib.sha256()
    for row in hub_rows(source):
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """Return a file's content, as UTF-8 also where a mark says that it is UTF-16.

    Raises:
        ProblemFileError: It cannot be read.
    """
    try:
        content = path.read_bytes()
        return content.decode("utf-16").encode() if content.startswith(_MARKS) else content
    except UnicodeDecodeError as error:
        raise ProblemFileError(f"{str(path)!r} begins as UTF-16 and is none: {error}") from error
    except OSError as error:
        raise ProblemFileError(f"cannot read problems from {str(path)!r}: {error}") from error


# --- JSON Lines -------------------------------------------------------------------------------


def _json_records(path: Path) -> Iterator[Record]:
    """Yield the objects of a file that has one per line, or an array of them."""
    content = _content(path).removeprefix(codecs.BOM_UTF8)
    if content.lstrip()[:1] == b"[" and (array := _json_array(content)) is not None:
        for number, values in enumerate(array, start=1):
            yield _object_record(number, values)
        return
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            yield _json_record(number, line)


def _json_array(content: bytes) -> list[object] | None:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, list) else None


def _json_record(number: int, line: bytes) -> Record:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Record(number, why_broken=f"not UTF-8: {error}")
    except (ValueError, RecursionError) as error:
        return Record(number, why_broken=f"not JSON: {error}")
    return _object_record(number, values)


def _object_record(number: int, values: object) -> Record:
    if not isinstance(values, dict):
        return Record(number, why_broken=f"expected an object, found {type(values).__name__}")
    return Record(number, values)


# --- CSV --------------------------------------------------------------------------------------


def _csv_records(path: Path) -> Iterator[Record]:
    """Yield the rows after a line of column names; an empty cell is no value."""
    # Bytes that are not UTF-8 spoil their row only: they are told from the surrogates they become.
    text = _content(path).removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    csv.field_size_limit(_LONGEST_CELL)
    # Not str.splitlines: it also ends lines at characters that are text in a cell.
    reader = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(path, text)
    )
    columns: list[str] = []
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(reader.line_num, why_broken=f"not CSV: {error}, begun on line {begun}")
            continue
        if not columns:
            columns = _column_names(path, cells)
        elif cells:
            yield _csv_record(reader.line_num, columns, cells)


def _delimiter(path: Path, text: str) -> str:
    """Return what stands between cells: by the ending, and by the line of column names."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    names = text.partition("\n")[0]
    return ";" if ";" in names and "," not in names else ","


def _column_names(path: Path, cells: list[str]) -> list[str]:
    doubled = sorted({name for name in cells if cells.count(name) > 1})
    if doubled:
        raise ProblemFileError(f"{str(path)!r} has two columns named {doubled[0]!r}")
    return cells


def _csv_record(number: int, columns: list[str], cells: list[str]) -> Record:
    if len(cells) != len(columns):
        why = f"{len(cells)} cells under {len(columns)} column names"
        return Record(number, why_broken=why)
    if any(not cell.isascii() and _has_surrogate(cell) for cell in cells):
        return Record(number, why_broken="not UTF-8")
    return Record(number, {name: cell or None for name, cell in zip(columns, cells, strict=True)})


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


# --- Parquet ----------------------------------------------------------------------------------


def _parquet_records(path: Path) -> Iterator[Record]:
    try:
        import pyarrow  # noqa: PLC0415  # an optional extra
        from pyarrow import parquet  # noqa: PLC0415  # as above
    except ImportError as error:
        raise ProblemFileError(
            f"{str(path)!r} needs the package 'pyarrow', which cannot be imported ({error}); "
            f"{how_to_install('parquet')}"
        ) from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield Record(number, row)
    except (OSError, pyarrow.ArrowException) as error:
        raise ProblemFileError(f"cannot read problems from {str(path)!r}: {error}") from error
