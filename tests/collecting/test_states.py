"""Hidden states on disk: they come back as they were, and damage is told."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from collab.collecting.states import keep_states, read_states
from collab.errors import RunDirectoryError, TrainingError

STATES = {
    "steps": np.array([[[1.0, -2.0]], [[0.5, 3.25]]], np.float32),
    "opening/0/rank.1": np.array([7.0], np.float32),
}


def kept(folder: Path, problem: str = "p/1") -> dict[str, JsonValue]:
    return {"id": problem, **keep_states(folder, problem, STATES)}


def test_what_was_kept_is_read_again_by_name(tmp_path: Path) -> None:
    found = read_states(kept(tmp_path), tmp_path)

    assert set(found) == set(STATES)
    assert all(np.array_equal(found[name], array) for name, array in STATES.items())
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_equal_states_make_equal_files(tmp_path: Path) -> None:
    one, other = kept(tmp_path, "a")["states"], kept(tmp_path, "b")["states"]

    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert one["file"] != other["file"]
    assert one["sha256"] == other["sha256"]


def test_without_states_there_is_no_file(tmp_path: Path) -> None:
    row = {"id": "p", **keep_states(tmp_path, "p", {})}

    assert read_states(row, tmp_path) == {}
    assert not list(tmp_path.iterdir())


def test_other_content_than_was_written_is_refused(tmp_path: Path) -> None:
    row = kept(tmp_path)
    next((tmp_path / "states").iterdir()).write_bytes(b"else")

    with pytest.raises(TrainingError, match="does not hold the states of the problem 'p/1'"):
        read_states(row, tmp_path)


def test_a_file_that_is_gone_is_told_with_what_to_do(tmp_path: Path) -> None:
    row = kept(tmp_path)
    next((tmp_path / "states").iterdir()).unlink()

    with pytest.raises(TrainingError, match=r"of the problem 'p/1' cannot be read: .*; remove"):
        read_states(row, tmp_path)


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "states").write_text("in the way")

    with pytest.raises(RunDirectoryError, match=r"cannot write .*; make room, then run the same"):
        kept(tmp_path)
