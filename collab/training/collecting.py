"""Collecting branches: a run of a pair whose every disagreement is followed to both ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from collab.collecting.harness import Collection, collect
from collab.collecting.problems import ensured_places, problems_with_answers
from collab.collecting.reading import CollectedRows, read_collection, telling_damage
from collab.controller import Result
from collab.errors import TrainingError
from collab.recipes import Recipe
from collab.runs.assembly import build_recipe
from collab.runs.config import RunConfig
from collab.runs.runner import Report
from collab.seam import Model
from collab.training.branches import Branch, keep_branches, read_branches
from collab.training.collector import Collector
from collab.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class CollectedBranches:
    """What was collected so far.

    Attributes:
        source: The rows it was read from.
        branches: By problem, also of those that have none.
    """

    source: CollectedRows
    branches: Mapping[str, tuple[Branch, ...]]


async def collect_branches(
    config: RunConfig, trainer: Trainer, *, samples: int = 1, on_progress: Report = lambda _: None
) -> None:
    """Work on every problem whose branches are not on disk yet, or that failed.

    The recipe's policy, units, lengths and sampling are kept; its verifiers are not asked:
    where the mentor's first word differs from the draft, `Collector` takes the branch and a
    fair coin says which way the run goes on.

    Args:
        config: `problems` and `out` have to be given; problems without an answer that the grader
            can read are left out.
        trainer: Says what is read at a branch.
        samples: Roll-outs of each way; one is enough where the recipe does not sample.
        on_progress: As for `collab.runs.runner.run`.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with; what was collected is on disk.
        TrainingError: No problem has such an answer.
    """
    source, folder = ensured_places(config, "training")
    problems = problems_with_answers(
        config, source, "so it is unknown which of two ways leads there"
    )
    branches = _Branches(config=config, problems=problems, trainer=trainer, samples=samples)
    await collect(branches, folder, on_progress=on_progress)


def read_collected_branches(folder: Path) -> CollectedBranches:
    """Return what a directory holds.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no branches, or states of several generators.
    """
    found = read_collection(folder, "train")
    branches: dict[str, tuple[Branch, ...]] = {}
    for row in found.rows:
        with telling_damage(folder, "train", row):
            branches[str(row["id"])] = read_branches(row, folder)
    if not any(branches.values()):
        raise TrainingError(
            f"no branch was found in {len(branches)} problems{found.failure}. A branch is where "
            "the mentor's first word differs from the generator's: ask more often (--set "
            "recipe.rate=1), or take more problems; what was collected is kept in "
            f"{folder}"
        )
    return CollectedBranches(found, branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branches(Collection):
    """Every problem's branches."""

    trainer: Trainer
    samples: int

    @property
    def compared(self) -> dict[str, JsonValue]:
        trainer = {"trainer": type(self.trainer).__name__, **self.trainer.reading}
        return {"collecting": {**trainer, "samples": self.samples}}

    def recipe(self) -> Recipe:
        recipe = build_recipe(self.config)
        collector = Collector(
            trainer=self.trainer,
            unit=recipe.unit,
            samples=1 if recipe.sampling.is_greedy else self.samples,
            max_tokens=recipe.max_answer_tokens,
            extraction=self.config.extraction,
            grader=self.config.grader,
        )
        return replace(recipe, verifiers=(collector,))

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        branches = cast(list[Branch], result.kept.get("verifier-0", []))
        return keep_branches(folder, result.problem.id, branches)
