"""`collab validate`: checks a configuration, connects its models, and estimates what they save."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from collab.cli.demo import lab_folder
from collab.cli.exit_codes import DONE, SOME_FAILED
from collab.cli.flags import RunFlags, ValidateFlags
from collab.cli.interrupts import run_interruptible
from collab.cli.validate.findings import Findings
from collab.cli.validate.json_form import as_json_object
from collab.cli.validate.text_form import print_findings
from collab.cli.work import finish
from collab.errors import CollabError, ConfigError
from collab.examining.examination import Examination
from collab.examining.rounds import Connected, compare
from collab.problems import BrokenLine, Problem, read_problems
from collab.runs.assembly import build_backends, build_controller
from collab.runs.config_files import load_config
from collab.runs.runner import Report
from collab.seam import ConsultationBackend


def execute(flags: RunFlags, validating: ValidateFlags, *, as_json: bool) -> int:
    """Print what was found; return the exit code.

    Raises:
        ConfigError: The configuration cannot be run, whatever its models can do.
    """
    path = flags.config
    if path is None:
        raise ConfigError("no configuration is given; `collab validate CONFIG.yaml` checks one")
    config = load_config(path, flags.values, flags.given_settings)
    recipe = build_controller(config).recipe
    lines = list(read_problems(config.problems)) if config.problems else []
    findings = Findings(
        path=path,
        config=config,
        recipe=recipe,
        problems=[line for line in lines if isinstance(line, Problem)],
        broken_lines=[line for line in lines if isinstance(line, BrokenLine)],
    )
    if validating.estimate:
        work = partial(_estimated, findings, build_backends(config), validating.limit)
        findings = finish(work, "estimate", out=None)
    elif validating.load:
        findings = run_interruptible(partial(_examined, findings, build_backends(config)))
    if as_json:
        print(json.dumps(as_json_object(findings), indent=2))
    else:
        print_findings(findings)
    return DONE if findings.is_fine else SOME_FAILED


async def _examined(findings: Findings, backends: Mapping[str, ConsultationBackend]) -> Findings:
    async with AsyncExitStack() as stack:
        examination = Examination(backends, findings.recipe, findings.problems)
        return replace(findings, report=await examination.examine(stack))


async def _estimated(
    findings: Findings,
    backends: Mapping[str, ConsultationBackend],
    limit: int,
    *,
    on_progress: Report,
) -> Findings:
    async with AsyncExitStack() as stack:
        examination = Examination(backends, findings.recipe, findings.problems)
        findings = replace(findings, report=await examination.examine(stack))
        if not findings.is_fine:
            return replace(findings, estimate_error="what is missing has to be put right first")
        problems, place = _problems_of(findings)
        config = findings.config
        findings = replace(findings, estimate_problems=place)
        models = examination.models
        try:
            estimate = await compare(
                {role: Connected(backend, models[role]) for role, backend in backends.items()},
                findings.recipe,
                problems[config.offset : config.offset + limit],
                seed=config.seed,
                budget=config.budget,
                on_progress=on_progress,
            )
        except CollabError as error:
            return replace(findings, estimate_error=str(error))
        return replace(findings, estimate=estimate)


def _problems_of(findings: Findings) -> tuple[Sequence[Problem], str]:
    """Return the problems to measure on, and where they are from."""
    source = findings.config.problems
    if source is not None:
        return findings.problems, str(source)
    lines = read_problems(lab_folder() / "problems.jsonl")
    shipped = [one for one in lines if isinstance(one, Problem)]
    return shipped, "the shipped lab's problems, as no problems file is named"
