"""Hidden states on disk: arrays by name, one file for each problem.

A row of results names its file, `states/NAME.npz` with arrays of float32, which is written before
the row; the row holds its hash.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from collab.collecting.older import inline_states, npy_states
from collab.durable_files import make_folder, read_file, replace_file
from collab.errors import RunDirectoryError, TrainingError

Array = NDArray[np.float32]

_FOLDER = "states"


@dataclass(frozen=True, slots=True)
class StatesFile:
    """The states of one problem, still on disk.

    Attributes:
        problem: Its id.
        path: The file.
        sha256: Of the content that was written.
    """

    problem: str
    path: Path
    sha256: str

    def read(self) -> dict[str, Array]:
        """Return the arrays by name.

        Raises:
            TrainingError: They are not there, or not those that were written.
        """
        hint = "remove the row of this problem to have it done again"
        try:
            content = read_file(self.path)
        except OSError as error:
            raise TrainingError(
                f"the states of the problem {self.problem!r} cannot be read: {error}; {hint}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise TrainingError(
                f"{self.path} does not hold the states of the problem {self.problem!r} that were "
                f"written there; {hint}"
            )
        if self.path.suffix == ".npy":
            return npy_states(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}


def keep_states(folder: Path, problem: str, states: Mapping[str, Array]) -> dict[str, JsonValue]:
    """Write the states of a problem; return what its row says of them.

    Args:
        folder: The run directory.
        problem: Its id.
        states: Arrays by name; no file is written for none.

    Raises:
        RunDirectoryError: They cannot be written.
    """
    if not states:
        return {"states": None}
    buffer = io.BytesIO()
    arrays = {name: np.asarray(array, "<f4") for name, array in states.items()}
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # names are arrays, no options
    content = buffer.getvalue()
    name = f"{_FOLDER}/{hashlib.sha256(problem.encode()).hexdigest()[:32]}.npz"
    try:
        make_folder(folder / _FOLDER)
        replace_file(folder / name, content)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {folder / name}: {error.strerror}; make room, then run the same command "
            "again to continue"
        ) from error
    return {"states": {"file": name, "sha256": hashlib.sha256(content).hexdigest()}}


def states_file(row: Mapping[str, JsonValue], folder: Path) -> StatesFile | None:
    """Return the file of a row's states; `None` if it has none.

    Raises:
        KeyError: The row says nothing about states.
    """
    states = row["states"]
    if not isinstance(states, dict):
        return None
    return StatesFile(str(row["id"]), folder / str(states["file"]), str(states["sha256"]))


def read_states(row: Mapping[str, JsonValue], folder: Path) -> dict[str, Array]:
    """Return the states of a row, by name; none if it has none.

    Raises:
        TrainingError: They are not there, or not those that were written.
        KeyError: The row says nothing about states.
        ValueError: They are damaged.
    """
    if "states" not in row:
        return inline_states(row)
    file = states_file(row, folder)
    return file.read() if file else {}
