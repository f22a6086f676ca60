"""What the head of a GGUF file says: its architecture, its tensors, and whether it is whole."""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from collab.errors import ModelLoadError
from collab_backends.local.extras import ensure_installed

_VERSIONS = (2, 3)
_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""Formats of the metadata's types that have one size, by their numbers in the file."""

_FLOATS = {0: "float32", 1: "float16", 30: "bfloat16"}
"""Tensor types that hold plain numbers; all others are blocks of quantised ones."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor of a file.

    Attributes:
        name: As llama.cpp calls it.
        numbers: How many numbers it stands for.
        kind: The number of its type.
        offset: Of its first byte in the file.
        nbytes: What it takes there.
    """

    name: str
    numbers: int
    kind: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """The head of a GGUF file.

    Attributes:
        path: The file.
        nbytes: Its size.
        architecture: As llama.cpp calls it.
        metadata: What is no list.
        tensors: In the file's order.
        entries: How long the metadata's lists are together, such as the vocabulary.
    """

    path: Path
    nbytes: int
    architecture: str
    metadata: Mapping[str, object]
    tensors: tuple[GgufTensor, ...]
    entries: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers all tensors stand for."""
        return sum(tensor.numbers for tensor in self.tensors)

    @property
    def float_type(self) -> str | None:
        """The type its weights are in; `None` if some are quantised."""
        kinds = {tensor.kind for tensor in self.tensors}
        if not kinds <= set(_FLOATS):
            return None
        return next((_FLOATS[kind] for kind in (30, 1) if kind in kinds), "float32")

    def stated(self, key: str) -> object | None:
        """Return what the metadata says of the architecture under `key`, if anything."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read_gguf(path: Path) -> GgufFile:
    """Read the head of a GGUF file; its weights are not read.

    Raises:
        ModelLoadError: The package gguf is missing, or the file is not a GGUF file, damaged,
            shorter than it says, or one part of several.
    """
    sizes = _quantised_sizes(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _Reader(data, sizes).read(path)
    except OSError as error:
        raise ModelLoadError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (KeyError, ValueError, struct.error) as error:
        raise ModelLoadError(
            f"{str(path)!r} is not a GGUF file of version 2 or 3, or its head is damaged "
            f"({error}); get it again"
        ) from error
    _ensure_whole(found)
    return found


def _ensure_whole(found: GgufFile) -> None:
    end = max((tensor.offset + tensor.nbytes for tensor in found.tensors), default=0)
    if end > found.nbytes:
        raise ModelLoadError(
            f"{str(found.path)!r} is cut off: its tensors end at byte {end:,}, and it has "
            f"{found.nbytes:,} bytes; get it again"
        )
    parts = found.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        raise ModelLoadError(
            f"{str(found.path)!r} is one of {parts} parts; join them first with "
            "`llama-gguf-split --merge FIRST_PART WHOLE.gguf`"
        )


def _quantised_sizes(path: Path) -> dict[int, tuple[int, int]]:
    """Return by type how many numbers a block holds, and in how many bytes."""
    ensure_installed("gguf", extra="gguf", why=f"to read the GGUF file {str(path)!r}")
    # An optional package, needed for such files alone.
    from gguf import GGML_QUANT_SIZES  # noqa: PLC0415

    return {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}


def served(path: Path) -> str:
    """Return how to serve a file instead, for errors."""
    return (
        f"`llama-server -m {path} --port 8080` and use the backend `openai` with base_url "
        "http://127.0.0.1:8080/v1"
    )


class _Reader:
    """Reads the head from its first byte on."""

    def __init__(self, data: mmap.mmap, sizes: Mapping[int, tuple[int, int]]) -> None:
        self._data = data
        self._sizes = sizes
        self._at = 0
        self._entries = 0

    def read(self, path: Path) -> GgufFile:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version, tensors, entries = self._take("<IQQ")
        if version not in _VERSIONS:
            raise ValueError(f"version {version}")
        metadata: dict[str, object] = {}
        for _ in range(entries):
            key = self._string()
            (kind,) = self._take("<I")
            value = self._value(kind)
            if value is not None:
                metadata[key] = value
        table = [self._tensor() for _ in range(tensors)]
        alignment = int(str(metadata.get("general.alignment", _ALIGNMENT)))
        start = -(-self._at // alignment) * alignment
        return GgufFile(
            path=path,
            nbytes=len(self._data),
            architecture=str(metadata["general.architecture"]),
            metadata=metadata,
            tensors=tuple(
                GgufTensor(name, numbers, kind, start + offset, self._nbytes(kind, numbers))
                for name, numbers, kind, offset in table
            ),
            entries=self._entries,
        )

    def _take(self, form: str) -> tuple[int, ...]:
        taken: tuple[int, ...] = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return taken

    def _string(self) -> str:
        (length,) = self._take("<Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode()

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("it ends within its head")

    def _value(self, kind: int) -> object | None:
        """Return one value; `None` for a list, which is passed over."""
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._take(_SCALARS[kind])[0]
        inner, count = self._take("<IQ")
        self._entries += count
        if inner != _STRING:
            self._skip(count * struct.calcsize(_SCALARS[inner]))
            return None
        for _ in range(count):
            (length,) = self._take("<Q")
            self._skip(length)
        return None

    def _tensor(self) -> tuple[str, int, int, int]:
        name = self._string()
        (dimensions,) = self._take("<I")
        shape = self._take(f"<{dimensions}Q")
        kind, offset = self._take("<IQ")
        return name, prod(shape), kind, offset

    def _nbytes(self, kind: int, numbers: int) -> int:
        block, nbytes = self._sizes[kind]
        return numbers // block * nbytes
