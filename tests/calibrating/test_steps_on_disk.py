"""Signals on disk come back as they were, and damage is told."""

from pathlib import Path

import pytest

from collab.calibrating.steps import SignalledStep, keep_text, read_text
from collab.errors import TrainingError

STEPS = (
    SignalledStep("So a.\n\n", (0.5, None), (-0.5, -1.0), {"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}),
    SignalledStep("So b.", (0.25,), (None,), {"x": [3.0, 4.0]}, {}, is_last=True, is_bad=True),
)


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    row = {"id": "p/1", "outcome": "correct", **keep_text(tmp_path, "p/1", STEPS)}

    found = read_text(row, tmp_path)

    assert found.steps == STEPS
    assert (found.problem, found.is_right) == ("p/1", True)


def test_steps_without_states_need_no_file(tmp_path: Path) -> None:
    plain = (SignalledStep("So.", (0.1,), (-0.1,)),)
    row = {"id": "p", "outcome": "ungraded", **keep_text(tmp_path, "p", plain)}

    assert read_text(row, tmp_path).steps == plain
    assert read_text(row, tmp_path).is_right is None
    assert not list(tmp_path.iterdir())


def test_a_draft_carries_what_a_policy_would_have_seen() -> None:
    draft = STEPS[0].draft(3, "before")

    assert (draft.text, draft.unit, draft.answer) == ("So a.\n\n", 3, "before")
    assert [token.entropy_nats for token in draft.tokens] == [0.5, None]
    assert draft.tokens[0].observed == {"x": [1.0, 2.0]}
    assert draft.beyond[0].observed == {"x": [3.0, 4.0]}


def test_other_states_than_were_written_are_refused(tmp_path: Path) -> None:
    row = {"id": "p", "outcome": "wrong", **keep_text(tmp_path, "p", STEPS)}
    next((tmp_path / "states").iterdir()).write_bytes(b"else")

    with pytest.raises(TrainingError, match="does not hold the states of the problem 'p'"):
        read_text(row, tmp_path)


def test_a_row_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="steps"):
        read_text({"id": "p", "outcome": "wrong"}, tmp_path)
