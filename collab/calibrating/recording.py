"""Recording: the generator works alone on problems, and the signals of its steps are kept.

They are kept in a run directory, row by row; the same call goes on where it stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from pydantic import JsonValue

from collab.calibrating.calibrator import Calibrator, Source
from collab.calibrating.recorder import Labeller, Recorder, recorded_steps
from collab.calibrating.steps import SignalledText, keep_text, read_text
from collab.controller import Controller, Result
from collab.errors import ConfigError, ProblemFileError, RunDirectoryError, TrainingError
from collab.problems import Problem, read_problems
from collab.protocols import Verifier
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.runs.assembly import controller_of
from collab.runs.config import RunConfig, installed_versions
from collab.runs.prices import price_record
from collab.runs.rows import Row, ledger_row
from collab.runs.run_files import read_rows
from collab.runs.runner import Progress, graded_row
from collab.runs.store import RunStore


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded.

    Attributes:
        texts: In the order of their problems' ids.
        source: Where they are from.
        failed: Problems that failed; the next call tries them again.
    """

    texts: tuple[SignalledText, ...]
    source: Source
    failed: int


async def record(
    config: RunConfig,
    recipe: Recipe,
    calibrator: Calibrator,
    *,
    judge: Verifier | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Calibrator:
    """Have the generator alone write every problem whose steps are not on disk yet.

    Args:
        config: `problems` and `out` have to be given.
        recipe: Its unit, lengths, phases, steering and sampling are kept; the generator answers.
        calibrator: Says what is recorded.
        judge: Says of every step whether it stands; nobody, if none is given.
        on_progress: As for `collab.runs.runner.run`.

    Returns:
        The calibrator, with what depends on the model filled in.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with; what was recorded is on disk.
        ProblemFileError: There are no problems.
    """
    if config.problems is None or config.out is None:
        missing = "problems" if config.problems is None else "out"
        raise ConfigError(f"calibration needs {missing}; give --{missing}")
    lines = config.chosen(read_problems(config.problems))
    problems = [one for one in lines if isinstance(one, Problem)]
    if not problems:
        raise ProblemFileError(f"there is no problem in {config.problems}")
    recording = await anyio.to_thread.run_sync(_Recording.of, config, recipe, calibrator, judge)
    compared = config.compared_record() | {
        "recording": {
            "calibrator": type(calibrator).__name__,
            **calibrator.reading,
            "judge": judge.model_dump(mode="json") if judge else None,
        }
    }
    with RunStore(config.out, compared, installed_versions() | price_record(config)) as store:
        pending = [one for one in problems if not store.has_finished(one.id)]
        done = len(problems) - len(pending)
        on_progress(Progress(None, done, len(problems)))
        async with recording.controller as controller:
            fitting = calibrator.for_model(controller.models[GENERATOR].capabilities)
            observed = {"observed": tuple(fitting.observations)}
            recorder = recording.recorder.model_copy(update=observed)
            controller.recipe = replace(controller.recipe, policy=recorder)
            store.begin()
            async with controller.map(iter(pending), concurrency=config.concurrency) as results:
                async for result in results:
                    row = await recording.keep(result, store)
                    done += 1
                    on_progress(Progress(row, done, len(problems)))
    return fitting


def read_recorded(folder: Path, problems_sha256: str) -> Recorded:
    """Return what a directory holds.

    Args:
        folder: The run directory.
        problems_sha256: Of its problems, for the record.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no steps, or those of several generators.
    """
    rows = sorted(read_rows(folder).values(), key=lambda row: str(row["id"]))
    done = [row for row in rows if row["outcome"] != "error"]
    texts = [read_text(row, folder) for row in done]
    models = {_told(row["model"]) for row in done}
    if len(models) > 1:
        raise TrainingError(
            f"{folder} holds signals of {len(models)} generators: its model was replaced while "
            "they were recorded; begin in another directory"
        )
    if not any(text.steps for text in texts):
        errors = [row["error"] for row in rows if isinstance(row["error"], dict)]
        why = f"; the first of {len(errors)} errors: {errors[0]['message']}" if errors else ""
        raise TrainingError(f"no step was recorded in {len(rows)} problems{why}")
    name, fingerprint, hidden_size = models.pop()
    source = Source(name, fingerprint, hidden_size, problems_sha256)
    return Recorded(tuple(texts), source, len(rows) - len(done))


@dataclass(frozen=True, slots=True)
class _Recording:
    """What one call works with."""

    config: RunConfig
    controller: Controller
    recorder: Recorder

    @classmethod
    def of(
        cls, config: RunConfig, recipe: Recipe, calibrator: Calibrator, judge: Verifier | None
    ) -> "_Recording":
        recorder = Recorder(needs_of=tuple(calibrator.needs), is_judging=judge is not None)
        verifiers = (Labeller(judge=judge),) if judge else ()
        phases = recipe.phases and recipe.phases.model_copy(update={"answer_by": GENERATOR})
        alone = replace(recipe, policy=recorder, verifiers=verifiers, phases=phases)
        return cls(config, controller_of(config, alone), recorder)

    async def keep(self, result: Result, store: RunStore) -> Row:
        """Put a finished problem with its steps on disk."""
        if isinstance(result.error, ConfigError):
            raise result.error  # the others would fail as well
        attempt = store.next_attempt(result.problem.id)
        row = await graded_row(result, self.config, attempt=attempt)
        model = self.controller.models[GENERATOR]
        row["model"] = {
            "name": model.name,
            "fingerprint": model.capabilities.fingerprint,
            "hidden_size": model.capabilities.hidden_size,
        }
        if result.error is None:
            try:
                row |= keep_text(store.folder, result.problem.id, recorded_steps(result.kept))
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot write the states of {result.problem.id!r} in {store.folder}: "
                    f"{error.strerror}; make room, then run the same command again to continue"
                ) from error
        store.add(row, ledger_row(result, attempt=attempt))
        return row


def _told(model: JsonValue) -> tuple[str, str, int | None]:
    assert isinstance(model, Mapping), "as written by `keep`"
    size = model["hidden_size"]
    return (
        str(model["name"]),
        str(model["fingerprint"]),
        None if size is None else int(str(size)),
    )
