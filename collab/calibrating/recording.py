"""Recording: the generator works alone on problems, and the signals of its steps are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from collab.calibrating.calibrator import Calibrator, Source
from collab.calibrating.recorder import Labeller, Recorder, recorded_steps
from collab.calibrating.steps import SignalledText, keep_text, read_text
from collab.collecting.alone import alone
from collab.collecting.harness import Collection, collect
from collab.collecting.problems import chosen_problems, ensured_places
from collab.collecting.reading import read_collection, telling_damage
from collab.controller import Result
from collab.errors import TrainingError
from collab.protocols import Verifier
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.runs.config import RunConfig
from collab.runs.runner import Report
from collab.seam import Model


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded.

    Attributes:
        texts: In the order of their problems.
        source: Where they are from.
    """

    texts: tuple[SignalledText, ...]
    source: Source


async def record(
    config: RunConfig,
    recipe: Recipe,
    calibrator: Calibrator,
    *,
    judge: Verifier | None = None,
    on_progress: Report = lambda _: None,
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
    source, folder = ensured_places(config, "calibration")
    signals = _Signals(
        config=config,
        problems=chosen_problems(config, source),
        needs_models=True,
        followed=recipe,
        calibrator=calibrator,
        judge=judge,
    )
    capabilities = await collect(signals, folder, on_progress=on_progress)
    return calibrator.for_model(capabilities[GENERATOR])


def read_recorded(folder: Path, problems_sha256: str) -> Recorded:
    """Return what a directory holds.

    Args:
        folder: The run directory.
        problems_sha256: Of its problems, for the record.

    Raises:
        RunDirectoryError: It cannot be read.
        TrainingError: It holds no steps, or those of several generators.
    """
    found = read_collection(folder, "calibrate")
    texts: list[SignalledText] = []
    for row in found.finished:
        with telling_damage(folder, "calibrate", row):
            texts.append(read_text(row, folder))
    if not any(text.steps for text in texts):
        raise TrainingError(f"no step was recorded in {len(found.rows)} problems{found.failure}")
    model = found.models[GENERATOR]
    source = Source(model.name, model.fingerprint, model.hidden_size, problems_sha256)
    return Recorded(tuple(texts), source)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signals(Collection):
    """The signals of every step of the generator alone."""

    followed: Recipe
    calibrator: Calibrator
    judge: Verifier | None

    @property
    def compared(self) -> dict[str, JsonValue]:
        calibrator = {"calibrator": type(self.calibrator).__name__, **self.calibrator.reading}
        judge = self.judge.model_dump(mode="json") if self.judge else None
        return {"recording": {**calibrator, "judge": judge}}

    def recipe(self) -> Recipe:
        recorder = Recorder(
            needs_of=tuple(self.calibrator.needs), is_judging=self.judge is not None
        )
        return alone(self.followed, recorder, (Labeller(judge=self.judge),) if self.judge else ())

    def recipe_for(self, recipe: Recipe, models: Mapping[str, Model]) -> Recipe:
        fitting = self.calibrator.for_model(models[GENERATOR].capabilities)
        observed = {"observed": tuple(fitting.observations)}
        return replace(recipe, policy=recipe.policy.model_copy(update=observed))

    def kept(
        self, result: Result, models: Mapping[str, Model], folder: Path
    ) -> dict[str, JsonValue]:
        if result.error is not None:
            return {}
        return keep_text(folder, result.problem.id, recorded_steps(result.kept))
