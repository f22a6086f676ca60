"""Steps of a text with the hidden states that opened them, and how they lie on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import JsonValue, TypeAdapter

from collab.collecting.states import Array, StatesFile, keep_states, states_file

States = Array

_STATES = "steps"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a text.

    Attributes:
        text: What was written between two delimiters.
        again: What was written when the generator went on anew from the same delimiter.
    """

    text: str
    again: tuple[str, ...] = ()


_Steps = TypeAdapter(tuple[Step, ...])
_Layers = TypeAdapter(tuple[int, ...])


@dataclass(frozen=True, slots=True)
class SteppedText:
    """One problem's text in steps.

    Attributes:
        problem: Whose.
        is_right: Whether it came to the right answer.
        steps: What stands after its first delimiter, as far as it thinks.
        layers: Whose states were read.
        file: Where they are on disk; `None` without steps.
    """

    problem: str
    is_right: bool
    steps: tuple[Step, ...]
    layers: tuple[int, ...]
    file: StatesFile | None = field(repr=False, default=None)

    def states(self) -> States:
        """Read the states at the delimiters that open the steps, `(steps, layers, hidden)`.

        Raises:
            TrainingError: They are not there, or not those that were written.
        """
        if self.file is None:
            return np.empty((0, len(self.layers), 0), np.float32)
        return self.file.read()[_STATES]


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
    kept = keep_states(folder, problem, {_STATES: states} if steps else {})
    return {"steps": _Steps.dump_python(tuple(steps), mode="json"), **kept}


def read_steps(row: Mapping[str, JsonValue], folder: Path) -> SteppedText:
    """Return the text that a row of results tells of, its states still on disk.

    Raises:
        KeyError: It holds none.
        ValueError: It is damaged.
    """
    return SteppedText(
        problem=str(row["id"]),
        is_right=row["outcome"] == "correct",
        steps=_Steps.validate_python(row["steps"]),
        layers=_Layers.validate_python(row["layers"]),
        file=states_file(row, folder),
    )
