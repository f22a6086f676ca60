"""`collab calibrate`: thresholds of a recipe for a wanted share, from held-out problems."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import cast

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from collab.calibrating.aiming import Target
from collab.calibrating.calibrate import (
    CalibrationPlan,
    CalibrationReport,
    RecipeFamily,
    calibrate,
)
from collab.calibrating.calibrator import Calibrator
from collab.cli.exit_codes import DONE
from collab.cli.flags import OF_RUNS, CalibrateFlags, RunFlags
from collab.cli.plugin_options import build_part, part_of, split_settings
from collab.cli.terminal import percent
from collab.cli.work import finish
from collab.errors import ConfigError
from collab.plugins import build, find
from collab.protocols import Verifier
from collab.runs.config import PluginConfig, RunConfig
from collab.runs.config_files import load_config
from collab.runs.yaml_files import read_yaml

DEFAULT_RECIPE = "rankguide"
"""The recipe that is calibrated if none is named."""


def execute(flags: RunFlags, calibrating: CalibrateFlags, *, as_json: bool) -> int:
    """Record what is missing, set thresholds, print what is to be expected, return the exit code.

    Raises:
        ConfigError: It cannot be begun or gone on with; what was recorded is kept.
    """
    own, others = split_settings(flags.given_settings, "calibrator")
    labels, others = split_settings(others, "labels")
    config, named = _configuration(flags, others)
    family = RecipeFamily(find("recipes", named.use), named.options)
    calibrator = part_of("recipes", named.use, "calibrator", Calibrator, own, verb="calibrated")
    plan = CalibrationPlan(
        _target(calibrating), _judge(calibrating.labels, labels), calibrating.rounds
    )
    work = partial(calibrate, config, family, calibrator, plan)
    found = finish(work, "problems", out=config.out)
    _print(found, named.use, config, as_json=as_json)
    return DONE


def _configuration(flags: RunFlags, settings: Sequence[str]) -> tuple[RunConfig, PluginConfig]:
    """Return the configuration and the recipe it names, `DEFAULT_RECIPE` if none is named.

    Raises:
        ConfigError: It gives a policy or a strategy.
    """
    named = read_yaml(flags.config) if flags.config else {}
    for key in ("policy", "strategy"):
        if key in named and not flags.recipe:
            raise ConfigError(
                f"{flags.config} gives a {key}, and thresholds are those of a recipe; name it, "
                f"such as --recipe {DEFAULT_RECIPE}, or `recipe: {DEFAULT_RECIPE}` instead of the "
                f"{key}"
            )
    config = load_config(
        flags.config, flags.values, settings, defaults={"recipe": DEFAULT_RECIPE}, without=OF_RUNS
    )
    assert config.recipe is not None, "it is among the defaults"
    return config, config.recipe


def _judge(labels: str | None, settings: list[str]) -> Verifier | None:
    if labels is None:
        if settings:
            raise ConfigError(f"setting {settings[0]!r} needs --labels, which names a verifier")
        return None
    made = find("verifiers", labels)
    options = build_part(made, "labels", labels, settings, {}).model_dump()
    return cast(Verifier, build("verifiers", labels, options))


def _target(flags: CalibrateFlags) -> Target:
    """Return the target that was asked for.

    Raises:
        ConfigError: It is no number, or none that could be meant.
    """
    text = flags.target.strip()
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise ConfigError(
            f"the target {text!r} is not a number; write one such as 10% or 0.1"
        ) from error
    if flags.by == "cost":
        if value <= 0 or text.endswith("%"):
            raise ConfigError(f"a cost of {text!r}: give US dollars per problem, above 0")
    elif not 0 <= value <= 1:
        raise ConfigError(f"a share of {text!r}: give one from 0% to 100%, such as 10% or 0.1")
    return Target(flags.by, value)


# --- printing ---------------------------------------------------------------------------------


def _print(found: CalibrationReport, recipe: str, config: RunConfig, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(found), indent=2))
        return
    console = Console(width=120)
    bad = "" if found.bad_steps is None else f", {found.bad_steps:,} of them bad"
    console.print(f"recorded     {found.problems:,} problems, {found.steps:,} steps{bad}")
    curve = ", ".join(f"{wanted} {share:.1%}" for wanted, share in found.expected.items())
    console.print(f"expected     {curve}  (wanted share, replayed)")
    for row in _tellings(found):
        console.print(row)
    console.print(
        f"reached      {_told(found.aim.reached, found.target)} for a wanted "
        f"{_told(found.target.value, found.target)}, in {found.aim.rounds} runs of the pair"
    )
    if missed := _missed(found):
        console.print(f"             {missed}")
    for name, value in found.options.items():
        console.print(f"use          --recipe {recipe} --set recipe.{name}={value}", soft_wrap=True)


def _missed(found: CalibrationReport) -> str:
    """Return what to make of a target that was missed; empty if it was not."""
    tolerance = 0.05 * found.target.value if found.target.kind == "cost" else 0.05
    if abs(found.aim.reached - found.target.value) <= tolerance:
        return ""
    if found.aim.boldness in (0.0, 1.0):
        return (
            "no threshold reaches the target with this recipe on these problems; it is the nearest"
        )
    return f"not met in {found.aim.rounds} runs of the pair; a higher --rounds may get closer"


def _tellings(found: CalibrationReport) -> list[Table]:
    if not found.telling:
        return []
    table = Table("signal", "AUROC of a bad step", "95 % interval", "same index", "steps")
    for name, one in found.telling.items():
        within = "-" if one.within_index is None else f"{one.within_index:.3f}"
        low, high = one.interval
        table.add_row(
            name, f"{one.auroc:.3f}", f"{low:.3f} to {high:.3f}", within, f"{one.steps:,}"
        )
    return [table]


def _told(value: float, target: Target) -> str:
    return f"${value:.6g} per problem" if target.kind == "cost" else percent(value)


def _as_json(found: CalibrationReport) -> Mapping[str, JsonValue]:
    return {
        "target": {"kind": found.target.kind, "value": found.target.value},
        "reached": found.aim.reached,
        "rounds": found.aim.rounds,
        "expected": dict(found.expected),
        "telling": {
            name: {**asdict(one), "interval": list(one.interval)}
            for name, one in found.telling.items()
        },
        "problems": found.problems,
        "steps": found.steps,
        "bad_steps": found.bad_steps,
        "options": dict(found.options),
    }
