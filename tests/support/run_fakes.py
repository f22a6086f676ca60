"""What tests of runs share: a backend that is named by this file, and small inputs.

Answers depend on the prompt alone, so an undisturbed run can be compared with a disturbed one.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict

from collab.runs.config import RunConfig
from collab.runs.config_files import parse_config
from collab.seam import Model
from collab.signals import NO_SIGNALS, Signals
from collab.testing import FakeModel, FakeSession
from collab.usage import Price
from collab.views import View, ViewOptions

ADDER = f"{Path(__file__)}:Adder"
OPENED_BEFORE_THE_GATE = 5


class GatedModel(FakeModel):
    """While the file `gate` is missing, all problems but the first five wait for ever."""

    gate: Path | None = None
    opened = 0

    @asynccontextmanager
    async def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AsyncIterator[FakeSession]:
        self.opened += 1
        if self.gate and not self.gate.exists() and self.opened > OPENED_BEFORE_THE_GATE:
            await anyio.sleep_forever()
        async with super().open(view, seed=seed, signals=signals) as session:
            yield session


class Adder(BaseModel):
    """Answers `a + b = ` for small numbers, always wrong by `error`.

    A file `loaded` gets one line whenever the model is connected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    error: int = 0
    says: str = "The answer is"
    model: str = ""
    gate: Path | None = None
    loaded: Path | None = None
    fails_at: int = -1
    price: Price | None = None
    view: ViewOptions = ViewOptions()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Model]:
        if self.loaded:
            with self.loaded.open("a") as file:
                file.write("loaded\n")
        answers = {
            f"{a} + {b} = ": f"I add both. {self.says} {a + b + self.error}."
            for a in range(20)
            for b in range(20)
        }
        model = GatedModel(name=f"adder{self.error:+}", answers=answers, fails_at=self.fails_at)
        model.gate = self.gate
        yield model


def write_problems(path: Path, count: int) -> Path:
    """Write problems `1 + 1 = `, `2 + 1 = `, ... with the ids p1, p2, ..."""
    lines = [
        json.dumps({"id": f"p{a}", "prompt": f"{a} + 1 = ", "answer": str(a + 1)})
        for a in range(1, count + 1)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def adder_config(folder: Path, *, problems: int = 12, **values: object) -> RunConfig:
    """Return a run of a generator that is wrong by 1 and a mentor that is right."""
    path = folder / "problems.jsonl"
    if not path.exists():
        write_problems(path, problems)
    defaults: dict[str, object] = {
        "pair": {"generator": {"use": ADDER, "error": 1}, "mentor": ADDER},
        "policy": {"use": "random", "rate": 0.3},
        "verifiers": ["always-mentor"],
        "segment_tokens": 2,
        "problems": path,
        "out": folder / "out",
    }
    return parse_config(defaults | values, "test")


def result_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run directory without their times, in the order of writing."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key != "timing"} for line in lines
    ]


def rows_by_id(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `result_lines` by id, of which there must be no two alike."""
    lines = result_lines(folder)
    rows = {row["id"]: row for row in lines}
    assert len(rows) == len(lines), "some problem has two rows"
    return rows
