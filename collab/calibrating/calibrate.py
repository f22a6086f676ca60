"""Calibrating a recipe: record, fit, aim, report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from collab.calibrating.aiming import Aim, Target, aim, curve
from collab.calibrating.calibrator import Calibrator, Fitted
from collab.calibrating.recording import Recorded, read_recorded, record
from collab.calibrating.replay import replay, sample
from collab.calibrating.running import run_with
from collab.calibrating.steps import SignalledText
from collab.calibrating.telling import Telling, telling
from collab.collecting.problems import ensured_places
from collab.errors import ConfigError
from collab.plugins import explain
from collab.protocols import Verifier
from collab.recipes import Recipe, RecipeFactory, made
from collab.runs.config import RunConfig
from collab.runs.runner import Report


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What a calibration found.

    Attributes:
        target: What was wanted.
        aim: What was reached.
        expected: The share that a replay expects, by wanted share.
        telling: How well each signal tells bad steps; empty without labels.
        problems: Problems recorded.
        steps: Steps recorded.
        bad_steps: Those labelled bad; `None` without labels.
        options: The options for the recipe.
    """

    target: Target
    aim: Aim
    expected: Mapping[str, float]
    telling: Mapping[str, Telling]
    problems: int
    steps: int
    bad_steps: int | None
    options: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """How a calibration is done.

    Attributes:
        target: What is wanted.
        judge: Says which steps are bad, for the report; nobody, if none is given.
        rounds: Most runs of the pair with thresholds.
    """

    target: Target
    judge: Verifier | None = None
    rounds: int = 4


@dataclass(frozen=True, slots=True)
class RecipeFamily:
    """A kind of recipe and its options that are given; the calibrated ones join them.

    Attributes:
        factory: The class.
        options: Those that are given.
    """

    factory: type[BaseModel]
    options: Mapping[str, object]

    def recipe(self, calibrated: Mapping[str, object]) -> Recipe:
        """Return the recipe with calibrated options.

        Raises:
            ConfigError: The options do not fit.
        """
        try:
            value = self.factory.model_validate({**self.options, **calibrated})
        except ValidationError as error:
            raise ConfigError(f"{self.factory.__name__}: {'; '.join(explain(error))}") from error
        if not isinstance(value, RecipeFactory):
            raise ConfigError(f"{self.factory.__name__} makes no recipe")
        return made(value)


async def calibrate(
    config: RunConfig,
    family: RecipeFamily,
    calibrator: Calibrator,
    plan: CalibrationPlan,
    *,
    on_progress: Report = lambda _: None,
) -> CalibrationReport:
    """Set the thresholds of a recipe for a target, on problems that it is not measured on later.

    Args:
        config: The pair, `problems`, and `out`: the folder that takes everything.
        family: The recipe.
        calibrator: How its thresholds follow from signals.
        plan: What is wanted, and what may be spent on it.
        on_progress: As for `collab.runs.runner.run`, for the recording and then for each run of
            the pair.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with.
        TrainingError: What was recorded is too little.
    """
    source, folder = ensured_places(config, "calibration")
    target = plan.target
    alone = config.model_copy(update={"out": folder / "alone"})
    recipe = family.recipe(calibrator.placeholder)
    fitting = await record(alone, recipe, calibrator, judge=plan.judge, on_progress=on_progress)
    recorded = read_recorded(folder / "alone", source.digest)
    fitted = fitting.fit(recorded.texts, recorded.source)

    replayed = sample(recorded.texts)

    @cache
    def share_of(boldness: float) -> float:
        policy = family.recipe(fitted.options(boldness)).policy
        shares = replay(policy, replayed)
        return shares.steps if target.kind == "steps" else shares.tokens

    async def reached(boldness: float) -> float:
        options = fitted.options(boldness)
        recipe = family.recipe(options)
        return await run_with(config, recipe, options, target, on_progress=on_progress)

    found = await aim(target, share_of, reached, rounds=plan.rounds)
    report = _report(target, found, curve(share_of), recorded, fitted)
    options = _save(folder, fitted, report)
    return replace(report, options=options)


def _report(
    target: Target,
    found: Aim,
    expected: Mapping[str, float],
    recorded: Recorded,
    fitted: Fitted,
) -> CalibrationReport:
    texts: Sequence[SignalledText] = recorded.texts
    labels = [step.is_bad for text in texts for step in text.steps if step.is_bad is not None]
    return CalibrationReport(
        target=target,
        aim=found,
        expected=expected,
        telling=telling(texts, map(fitted.signals, texts)) if labels else {},
        problems=len(texts),
        steps=sum(len(text.steps) for text in texts),
        bad_steps=sum(labels) if labels else None,
        options={},
    )


def _save(folder: Path, fitted: Fitted, report: CalibrationReport) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {
        "target": {"kind": report.target.kind, "value": report.target.value},
        "reached": report.aim.reached,
        "expected": dict(report.expected),
        "telling": {name: _as_json(one) for name, one in report.telling.items()},
        "problems": report.problems,
        "steps": report.steps,
        "bad_steps": report.bad_steps,
    }
    try:
        return fitted.save(folder, report.aim.boldness, facts)
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}") from error


def _as_json(one: Telling) -> JsonValue:
    return {**asdict(one), "interval": list(one.interval)}
