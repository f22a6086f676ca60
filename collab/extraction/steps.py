"""Steps of a text with the hidden states that opened them, and how they lie on disk.

A row of results names its steps; their states are one file beside it, `states/NAME.npy` with the
shape `(steps, layers, hidden)` in float32, written first and told by its hash.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from collab.durable_files import make_folder, replace_file
from collab.errors import RunDirectoryError, TrainingError

States = NDArray[np.float32]

_FOLDER = "states"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a text.

    Attributes:
        text: What was written between two delimiters.
        again: What was written when the generator went on anew from the same delimiter.
    """

    text: str
    again: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SteppedText:
    """One problem's text in steps.

    Attributes:
        problem: Whose.
        is_right: Whether it came to the right answer.
        steps: What stands after its first delimiter, as far as it thinks.
        layers: Whose states were read.
        states_file: Where they lie; empty without steps.
        states_sha256: Of that file.
    """

    problem: str
    is_right: bool
    steps: tuple[Step, ...]
    layers: tuple[int, ...]
    states_file: Path | None = field(repr=False, default=None)
    states_sha256: str = ""

    def states(self) -> States:
        """Read the states at the delimiters that open the steps, `(steps, layers, hidden)`.

        Raises:
            TrainingError: They are not there, or not those that were written.
        """
        if self.states_file is None:
            return np.empty((0, len(self.layers), 0), np.float32)
        hint = "remove the row of this problem to have it done again"
        try:
            content = self.states_file.read_bytes()
        except OSError as error:
            raise TrainingError(
                f"the states of the problem {self.problem!r} cannot be read: {error}; {hint}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.states_sha256:
            raise TrainingError(
                f"{self.states_file} does not hold the states of the problem {self.problem!r} that "
                f"were written there; {hint}"
            )
        found: States = np.load(io.BytesIO(content), allow_pickle=False)
        return found


def keep_steps(
    folder: Path, problem: str, steps: Sequence[Step], states: States
) -> dict[str, JsonValue]:
    """Write the states of a problem's steps; return what its row says of them.

    Args:
        folder: The run directory.
        problem: Its id.
        steps: In their order.
        states: `(steps, layers, hidden)`.

    Raises:
        RunDirectoryError: They cannot be written.
    """
    listed: list[JsonValue] = [{"text": one.text, "again": list(one.again)} for one in steps]
    if not steps:
        return {"steps": listed, "states": None}
    buffer = io.BytesIO()
    np.save(buffer, states.astype("<f4"), allow_pickle=False)
    content = buffer.getvalue()
    name = f"{_FOLDER}/{hashlib.sha256(problem.encode()).hexdigest()[:32]}.npy"
    try:
        make_folder(folder / _FOLDER)
        replace_file(folder / name, content)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {folder / name}: {error.strerror}; make room, then run the same command "
            "again to go on"
        ) from error
    return {
        "steps": listed,
        "states": {"file": name, "sha256": hashlib.sha256(content).hexdigest()},
    }


def read_steps(row: Mapping[str, JsonValue], folder: Path) -> SteppedText:
    """Return the text that a row of results tells of, its states still on disk.

    Raises:
        TrainingError: The row is of another kind of run, or damaged.
    """
    steps, states, layers = row.get("steps"), row.get("states"), row.get("layers")
    try:
        return SteppedText(
            problem=str(row["id"]),
            is_right=row["outcome"] == "correct",
            steps=tuple(_step(one) for one in _listed(steps)),
            layers=tuple(int(str(one)) for one in _listed(layers)),
            states_file=folder / str(states["file"]) if isinstance(states, dict) else None,
            states_sha256=str(states["sha256"]) if isinstance(states, dict) else "",
        )
    except (KeyError, ValueError) as error:
        raise TrainingError(
            f"{folder} is not a directory of `collab extract`, or is damaged at the problem "
            f"{row['id']!r}: {error}"
        ) from error


def _step(found: JsonValue) -> Step:
    if not isinstance(found, dict):
        raise ValueError(f"not a step: {found!r}")  # noqa: TRY004  # told as damage of the row
    return Step(str(found["text"]), tuple(str(one) for one in _listed(found["again"])))


def _listed(found: JsonValue) -> list[JsonValue]:
    if not isinstance(found, list):
        raise ValueError(f"expected a list, found {found!r}")  # noqa: TRY004  # told as damage
    return found
