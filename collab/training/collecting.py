"""Collecting branches: a run of a pair whose every disagreement is followed to both ends.

It is kept in a run directory, row by row, with the branches in the rows; the same call goes on
where it stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import anyio.to_thread
from pydantic import JsonValue

from collab.controller import Controller, Result
from collab.errors import ConfigError, TrainingError
from collab.grading import grade
from collab.problems import Problem, read_problems
from collab.problems.sources import ProblemSource
from collab.roles import GENERATOR
from collab.runs.assembly import build_recipe, controller_of
from collab.runs.config import RunConfig, installed_versions
from collab.runs.prices import price_record
from collab.runs.rows import Row, ledger_row
from collab.runs.run_files import read_rows
from collab.runs.runner import Progress, graded_row
from collab.runs.store import RunStore
from collab.training.branches import Branch, branch_row, read_branch
from collab.training.collector import Collector
from collab.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected so far.

    Attributes:
        folder: Where it is kept.
        branches: By problem, also of those that have none.
        generator: Name and fingerprint of the model whose states were read.
        mentors: Names of the models that proposed, by role.
        failed: Problems that failed; those that are tried again by the next call.
        first_error: What went wrong with one of them, or empty.
    """

    folder: Path
    branches: Mapping[str, tuple[Branch, ...]]
    generator: tuple[str, str]
    mentors: Mapping[str, str]
    failed: int
    first_error: str


async def collect(
    config: RunConfig,
    trainer: Trainer,
    *,
    samples: int = 1,
    on_progress: Callable[[Progress], None] = lambda _: None,
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
    if config.problems is None or config.out is None:
        missing = "problems" if config.problems is None else "out"
        raise ConfigError(f"training needs {missing}; give --{missing}")
    why = "so it is unknown which of two ways leads there"
    problems = problems_with_answers(config, config.problems, why)
    controller = await anyio.to_thread.run_sync(_build, config, trainer, samples)
    compared = config.compared_record() | {
        "collecting": {"trainer": type(trainer).__name__, **trainer.reading, "samples": samples}
    }
    with RunStore(config.out, compared, installed_versions() | price_record(config)) as store:
        pending = [one for one in problems if not store.has_finished(one.id)]
        done = len(problems) - len(pending)
        on_progress(Progress(None, done, len(problems)))
        if not pending:
            return
        async with controller:
            store.begin()
            async with controller.map(iter(pending), concurrency=config.concurrency) as results:
                async for result in results:
                    row = await _keep(result, store, controller, config)
                    done += 1
                    on_progress(Progress(row, done, len(problems)))


def read_collected(folder: Path) -> Collected:
    """Return what a directory holds.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no branches, or states of several generators.
    """
    rows = read_rows(folder)
    branches = {problem: tuple(_branches(row, folder)) for problem, row in rows.items()}
    errors = [row["error"] for row in rows.values() if row["error"]]
    first_error = str(errors[0].get("message")) if errors and isinstance(errors[0], dict) else ""
    models = [found for row in rows.values() if isinstance(found := row.get("models"), dict)]
    generators = {_told(one[GENERATOR]) for one in models}
    if len(generators) > 1:
        raise TrainingError(
            f"{folder} holds states of {len(generators)} generators (fingerprints "
            f"{', '.join(sorted(print_ for _, print_ in generators))}): its model was exchanged "
            "while branches were collected; begin in another directory"
        )
    if not any(branches.values()):
        why = f"; {len(errors)} problems failed, the first: {first_error}" if errors else ""
        raise TrainingError(
            f"no branch was found in {len(rows)} problems{why}. A branch is where the mentor's "
            "first word differs from the generator's: ask more often (--set "
            "recipe.rate=1), or take more problems; what was collected is kept in "
            f"{folder}"
        )
    return Collected(
        folder=folder,
        branches=branches,
        generator=generators.pop(),
        mentors={role: _told(one)[0] for role, one in models[0].items() if role != GENERATOR},
        failed=len(errors),
        first_error=first_error,
    )


def problems_with_answers(config: RunConfig, source: ProblemSource, why: str) -> list[Problem]:
    """Return the problems whose right answers the grader can read.

    Args:
        config: Says how many, and how they are graded.
        source: Where they lie.
        why: What the right answers are needed for, to end the error with.

    Raises:
        ProblemFileError: They cannot be read.
        TrainingError: None has such an answer.
    """
    lines = config.chosen(read_problems(source))
    problems = [one for one in lines if isinstance(one, Problem) and _can_grade(one, config)]
    if not problems:
        raise TrainingError(
            f"none of the {len(lines)} problems in {source} has a right answer (the key `answer`) "
            f"that the grader {config.grader!r} can read, {why}"
        )
    return problems


def _can_grade(problem: Problem, config: RunConfig) -> bool:
    blank = grade("", reference=problem.answer, reason="eos", grader=config.grader)
    return blank.outcome not in ("ungraded", "ungradable")


def _build(config: RunConfig, trainer: Trainer, samples: int) -> Controller:
    recipe = build_recipe(config)
    collector = Collector(
        trainer=trainer,
        unit=recipe.unit,
        samples=1 if recipe.sampling.is_greedy else samples,
        max_tokens=recipe.max_answer_tokens,
        extraction=config.extraction,
        grader=config.grader,
    )
    return controller_of(config, replace(recipe, verifiers=(collector,)))


async def _keep(
    result: Result,
    store: RunStore,
    controller: Controller,
    config: RunConfig,
) -> Row:
    """Put a finished problem with its branches on disk."""
    if isinstance(result.error, ConfigError):
        raise result.error  # the others would fail as well
    attempt = store.next_attempt(result.problem.id)
    row = await graded_row(result, config, attempt=attempt)
    branches = cast(list[Branch], result.kept.get("verifier-0", []))
    row["branches"] = [branch_row(one) for one in branches]
    row["models"] = {
        role: {"name": model.name, "fingerprint": model.capabilities.fingerprint}
        for role, model in controller.models.items()
    }
    store.add(row, ledger_row(result, attempt=attempt))
    return row


def _branches(row: Row, folder: Path) -> Iterator[Branch]:
    found = row.get("branches")
    try:
        if not isinstance(found, list):
            raise ValueError("it has no branches")  # noqa: TRY301, TRY004  # told below, as the others
        for one in found:
            if not isinstance(one, dict):
                raise ValueError(f"not a branch: {one!r}")  # noqa: TRY301, TRY004  # as above
            yield read_branch(one)
    except ValueError as error:
        raise TrainingError(
            f"{folder} is not a directory of `collab train`, or is damaged at the problem "
            f"{row['id']!r}: {error}"
        ) from error


def _told(model: JsonValue) -> tuple[str, str]:
    assert isinstance(model, dict), "as written by `_keep`"
    return str(model["name"]), str(model["fingerprint"])
