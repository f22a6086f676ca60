"""The frame of a command's work: what it returns, shows, and says when it is interrupted."""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from collab.cli.work import finish
from collab.runs.runner import Progress, Report


async def count(*, on_progress: Report) -> int:
    on_progress(Progress(None, 0, 2))
    on_progress(Progress({"id": "a", "outcome": "correct"}, 1, 2))
    return 7


def interrupted(*, on_progress: Report) -> Awaitable[int]:
    on_progress(Progress({"id": "a", "outcome": "correct"}, 1, 2))
    raise KeyboardInterrupt


def test_what_the_work_returns_is_returned_and_its_progress_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert finish(count, "counting", out=None) == 7

    assert capsys.readouterr().err == "counting: 1/2 a correct\n"


def test_an_interruption_says_what_is_on_disk_and_how_to_go_on() -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        finish(interrupted, "counting", out=Path("runs/x"))

    assert raised.value.__notes__ == [
        "1 of 2 problems are finished and on disk in runs/x; run the same command again to continue"
    ]


def test_where_nothing_is_kept_nothing_is_said_of_it() -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        finish(interrupted, "counting", out=None)

    assert not hasattr(raised.value, "__notes__")
