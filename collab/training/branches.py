"""Branches: places where the mentor wanted another word, and where each of both ways leads."""

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue


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
    state: Sequence[float] = field(repr=False)

    @property
    def is_tie(self) -> bool:
        """Whether both ways lead to the right answer equally often."""
        return self.own_right == self.offered_right


def branch_row(branch: Branch) -> dict[str, JsonValue]:
    """Return a branch as a JSON object; its state is base64 of little-endian float32."""
    return {
        "unit": branch.unit,
        "own": branch.own,
        "offered": branch.offered,
        "own_right": branch.own_right,
        "offered_right": branch.offered_right,
        "samples": branch.samples,
        "state": base64.b64encode(_little_endian(array("f", branch.state)).tobytes()).decode(),
    }


def read_branch(row: Mapping[str, JsonValue]) -> Branch:
    """Return the branch that `branch_row` wrote.

    Raises:
        ValueError: It is none.
    """
    state = array("f")
    try:
        state.frombytes(base64.b64decode(str(row["state"]), validate=True))
        return Branch(
            unit=int(str(row["unit"])),
            own=str(row["own"]),
            offered=str(row["offered"]),
            own_right=float(str(row["own_right"])),
            offered_right=float(str(row["offered_right"])),
            samples=int(str(row["samples"])),
            state=_little_endian(state),
        )
    except (KeyError, binascii.Error) as error:
        raise ValueError(f"not a branch: {error!r}") from error


def _little_endian(numbers: "array[float]") -> "array[float]":
    """Return numbers with their bytes turned round where this machine has them the other way."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
