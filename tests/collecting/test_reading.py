"""Reading a collection back: in the order of problems, of one generator, damage told."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from collab.collecting.reading import KnownModel, read_collection, telling_damage
from collab.errors import TrainingError

MODEL: dict[str, JsonValue] = {"name": "m", "fingerprint": "f", "blocks": 4, "hidden_size": 2}


def write(folder: Path, *rows: dict[str, JsonValue]) -> Path:
    usual: dict[str, JsonValue] = {
        "outcome": "correct",
        "usage": {},
        "spans": [],
        "attempt": 1,
        "error": None,
        "models": {"generator": MODEL},
    }
    lines = (json.dumps(usual | row) + "\n" for row in rows)
    (folder / "results.jsonl").write_text("".join(lines))
    return folder


def test_rows_are_in_the_order_of_their_problems_however_they_finished(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"id": "a", "place": 2}, {"id": "c", "place": 0}, {"id": "b", "place": 1}
    )

    found = read_collection(folder, "train")

    assert [row["id"] for row in found.rows] == ["c", "b", "a"]
    assert found.models == {"generator": KnownModel("m", "f", 4, 2)}
    assert (found.failed, found.failure) == (0, "")


def test_failed_problems_are_counted_with_the_first_reason(tmp_path: Path) -> None:
    failed: dict[str, JsonValue] = {"outcome": "error", "error": {"type": "E", "message": "why"}}
    folder = write(tmp_path, {"id": "a"}, {"id": "b", **failed})

    found = read_collection(folder, "train")

    assert [row["id"] for row in found.finished] == ["a"]
    assert found.failure == "; 1 problems failed, the first: why"


def test_states_of_two_generators_are_not_mixed(tmp_path: Path) -> None:
    other: dict[str, JsonValue] = {"generator": {**MODEL, "fingerprint": "g"}}
    folder = write(tmp_path, {"id": "a"}, {"id": "b", "models": other})

    with pytest.raises(TrainingError, match=r"states of 2 generators \(fingerprints f, g\)"):
        read_collection(folder, "train")


def test_a_row_of_another_command_is_told_by_its_problem(tmp_path: Path) -> None:
    folder = write(tmp_path, {"id": "a", "models": {}})

    with pytest.raises(TrainingError, match="not a directory of `collab extract`, .* 'a'"):
        read_collection(folder, "extract")


def test_what_a_row_lacks_is_told_with_its_command(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainingError, match="`collab train`, or is damaged at the problem 'p': 'x'"),
        telling_damage(tmp_path, "train", {"id": "p"}),
    ):
        raise KeyError("x")
