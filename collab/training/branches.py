"""Branches: places where the mentor wanted another word, and where each of both ways leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue, TypeAdapter

from collab.collecting.older import without_inline_states
from collab.collecting.states import keep_states, read_states


@dataclass(frozen=True, slots=True)
class Branch:
    """A place where generator and mentor differ, with both ways followed to the end.

    Attributes:
        unit: The unit at which the policy asked.
        own: The generator's segment.
        offered: The mentor's.
        own_right: Share of the roll-outs after the generator's that came to the right answer.
        offered_right: The same of the mentor's.
        samples: Roll-outs after each of both.
        state: What a verifier would have seen there.
    """

    unit: int
    own: str
    offered: str
    own_right: float
    offered_right: float
    samples: int
    state: Sequence[float] = field(repr=False, default=())

    @property
    def is_tie(self) -> bool:
        """Whether both ways lead to the right answer equally often."""
        return self.own_right == self.offered_right


_Branches = TypeAdapter(tuple[Branch, ...])
_STATES = "branches"


def keep_branches(folder: Path, problem: str, branches: Sequence[Branch]) -> dict[str, JsonValue]:
    """Write the states of a problem's branches; return what its row says of the branches.

    Raises:
        RunDirectoryError: They cannot be written.
    """
    without_states = _Branches.dump_python(
        tuple(branches), mode="json", exclude={"__all__": {"state"}}
    )
    states = np.array([one.state for one in branches], np.float32)  # (branches, size)
    kept = keep_states(folder, problem, {_STATES: states} if branches else {})
    return {"branches": without_states, **kept}


def read_branches(row: Mapping[str, JsonValue], folder: Path) -> tuple[Branch, ...]:
    """Return the branches in a row.

    Raises:
        TrainingError: Their states are not there any more.
        KeyError: It holds none.
        ValueError: It is damaged.
    """
    branches = _Branches.validate_python(without_inline_states(row["branches"]))
    states = read_states(row, folder).get(_STATES, ())
    return tuple(
        replace(branch, state=state.tolist())
        for branch, state in zip(branches, states, strict=True)
    )
