"""Running the pair with chosen thresholds; what was run already is not run again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from collab.calibrating.aiming import Target
from collab.collecting.harness import Collection, collect
from collab.collecting.problems import chosen_problems, ensured_places
from collab.collecting.reading import read_collection
from collab.controller import Result
from collab.errors import TrainingError
from collab.recipes import Recipe
from collab.runs.config import RunConfig
from collab.runs.rows import Row
from collab.runs.runner import Report
from collab.runs.summary import summarise
from collab.seam import Model


async def run_with(
    config: RunConfig,
    recipe: Recipe,
    options: Mapping[str, object],
    target: Target,
    *,
    on_progress: Report,
) -> float:
    """Run the pair on the problems; return what it came to, as the target counts.

    Args:
        config: The pair, `problems`, and `out`: a folder in it takes the answers.
        recipe: With its thresholds.
        options: These; equal ones share a folder.
        target: What is counted.
        on_progress: As for `collab.runs.runner.run`.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with; what was run is on disk.
        TrainingError: Every problem failed.
    """
    source, out = ensured_places(config, "calibration")
    problems = chosen_problems(config, source)
    digest = hashlib.sha256(json.dumps(to_jsonable_python(options)).encode()).hexdigest()
    answers = _Answers(config=config, problems=problems, followed=recipe, thresholds=digest)
    folder = out / "pair" / digest[:16]
    folder.parent.mkdir(exist_ok=True)
    await collect(answers, folder, on_progress=on_progress)
    found, wanted = read_collection(folder, "calibrate"), {one.id for one in problems}
    rows = [row for row in found.rows if row["id"] in wanted]
    whole = [row for row in rows if row["outcome"] != "error"]
    if not whole:
        raise TrainingError(f"no problem was answered with thresholds{found.failure}")
    if target.kind == "cost":
        return summarise({str(row["id"]): row for row in rows}).cost_usd / len(rows)
    if target.kind == "steps":
        return _share_of_steps(whole)
    return summarise({str(row["id"]): row for row in whole}).mentor_share


def _share_of_steps(rows: Sequence[Row]) -> float:
    decisions = [one for row in rows for one in row["decisions"]]  # type: ignore[union-attr]  # as written by `collab.runs.rows`
    asked = [one for one in decisions if isinstance(one, dict) and one["decision"] == "consult"]
    return len(asked) / max(len(decisions), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers(Collection):
    """The answers of the pair with one choice of thresholds."""

    followed: Recipe
    thresholds: str

    @property
    def compared(self) -> dict[str, JsonValue]:
        return {"calibrated": {"options_sha256": self.thresholds}}

    def recipe(self) -> Recipe:
        return self.followed

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        return {}
