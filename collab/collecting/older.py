"""What earlier versions wrote into the directories of collections, read as it would be written now.

States of extraction were `.npy` files, and states of branches were base64 inside the rows. Rows of
extraction and of calibration named the generator alone, as `model`.
"""

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from collab.roles import GENERATOR


def npy_states(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the states of the steps that a `.npy` file holds."""
    return {"steps": np.load(io.BytesIO(content), allow_pickle=False)}


def inline_states(row: Mapping[str, JsonValue]) -> dict[str, NDArray[np.float32]]:
    """Return the states that stand in a row's branches; none for no branches.

    Raises:
        KeyError: It has no branches, or a branch has no state.
        ValueError: A state is damaged.
    """
    branches = row["branches"]
    if not isinstance(branches, list):
        raise ValueError(f"not branches: {branches!r}")  # noqa: TRY004  # told as damage of the row
    states = [_decoded(one) for one in branches]
    return {"branches": np.stack(states)} if states else {}


def without_inline_states(branches: JsonValue) -> JsonValue:
    """Return the branches of a row without the states that may stand in them."""
    if not isinstance(branches, list):
        return branches
    return [
        {key: value for key, value in one.items() if key != "state"}
        if isinstance(one, dict)
        else one
        for one in branches
    ]


def models_of(row: Mapping[str, JsonValue]) -> JsonValue:
    """Return the models that a row names, by role.

    Raises:
        KeyError: It names none.
    """
    return row["models"] if "models" in row else {GENERATOR: row["model"]}


def _decoded(branch: JsonValue) -> NDArray[np.float32]:
    if not isinstance(branch, dict):
        raise ValueError(f"not a branch: {branch!r}")  # noqa: TRY004  # told as damage of the row
    content = base64.b64decode(str(branch["state"]), validate=True)
    return np.frombuffer(content, "<f4").astype(np.float32)
