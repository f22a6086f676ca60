"""Calibrating a recipe: record, fit, aim, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from collab.calibrating.aiming import Aim, Target, aim, curve
from collab.calibrating.calibrator import Calibrator, Fitted
from collab.calibrating.recording import Recorded, read_recorded, record
from collab.calibrating.replay import replay, sample
from collab.calibrating.steps import SignalledText
from collab.calibrating.telling import Telling, telling
from collab.controller import Result
from collab.decisions import Consult
from collab.errors import ConfigError, TrainingError
from collab.plugins import explain
from collab.problems import Problem, read_problems
from collab.protocols import Verifier
from collab.recipes import Recipe, RecipeFactory, made
from collab.runs.assembly import controller_of
from collab.runs.config import RunConfig
from collab.runs.runner import Progress
from collab.trace import Decided, written_tokens

Told = Callable[[Progress], None]


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
    on_progress: Told = lambda _: None,
) -> CalibrationReport:
    """Set the thresholds of a recipe for a target, on problems that it is not measured on later.

    Args:
        config: The pair, `problems`, and `out`: the folder that takes everything.
        family: The recipe.
        calibrator: How its thresholds follow from signals.
        plan: What is wanted, and what may be spent on it.
        on_progress: Told of each problem recorded.

    Raises:
        ConfigError: It cannot be begun, or not be gone on with.
        TrainingError: What was recorded is too little.
    """
    if config.out is None or config.problems is None:
        missing = "out" if config.out is None else "problems"
        raise ConfigError(f"calibration needs {missing}; give --{missing}")
    folder, target = config.out, plan.target
    alone = config.model_copy(update={"out": folder / "alone"})
    recipe = family.recipe(calibrator.placeholder)
    fitting = await record(alone, recipe, calibrator, judge=plan.judge, on_progress=on_progress)
    recorded = read_recorded(folder / "alone", config.problems.digest)
    fitted = fitting.fit(recorded.texts, recorded.source)

    replayed = sample(recorded.texts)

    @cache
    def share_of(boldness: float) -> float:
        policy = family.recipe(fitted.options(boldness)).policy
        shares = replay(policy, replayed)
        return shares.steps if target.kind == "steps" else shares.tokens

    async def run_with(boldness: float) -> float:
        return await _run(config, family.recipe(fitted.options(boldness)), target)

    found = await aim(target, share_of, run_with, rounds=plan.rounds)
    report = _report(target, found, curve(share_of), recorded, fitted)
    options = _save(folder, fitted, report)
    return replace(report, options=options)


async def _run(config: RunConfig, recipe: Recipe, target: Target) -> float:
    """Run the pair on the problems; return what it came to, as the target counts."""
    assert config.problems is not None, "asked for by `calibrate`"
    lines = config.chosen(read_problems(config.problems))
    problems = [one for one in lines if isinstance(one, Problem)]
    results: list[Result] = []
    async with (
        controller_of(config, recipe) as controller,
        controller.map(problems, concurrency=config.concurrency) as found,
    ):
        async for result in found:
            if isinstance(result.error, ConfigError):
                raise result.error
            results.append(result)
    whole = [one for one in results if one.error is None]
    if not whole:
        raise TrainingError(f"all {len(results)} problems failed; the first: {results[0].error}")
    if target.kind == "cost":
        return sum(call.cost_usd or 0.0 for one in results for call in one.calls) / len(results)
    if target.kind == "steps":
        return _share_of_steps(whole)
    mentors, total = written_tokens(
        (span.author, span.kind, span.tokens) for one in whole for span in one.spans
    )
    return mentors / max(total, 1)


def _share_of_steps(results: Sequence[Result]) -> float:
    decided = [
        event.decision for one in results for event in one.events if isinstance(event, Decided)
    ]
    return sum(isinstance(one, Consult) for one in decided) / max(len(decided), 1)


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
