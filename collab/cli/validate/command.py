"""`collab validate`: checks a configuration, connects its models, and estimates what they save."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from collab.cli.demo import lab_folder
from collab.cli.flags import RunFlags
from collab.cli.interrupts import run_interruptible
from collab.cli.validate.findings import Findings
from collab.cli.validate.json_form import as_json_object
from collab.cli.validate.text_form import print_findings
from collab.errors import CollabError, ConfigError
from collab.examining.examination import Examination
from collab.examining.rounds import Connected, calibrate
from collab.problems import BrokenLine, Problem, read_problems
from collab.runs.assembly import build_backends, build_controller
from collab.runs.config_files import load_config
from collab.seam import ConsultationBackend, Model


def execute(flags: RunFlags, *, is_loading: bool, estimated_problems: int, as_json: bool) -> int:
    """Print what was found; return the exit code.

    Args:
        flags: They name the configuration.
        is_loading: Whether to connect the models.
        estimated_problems: How many problems to measure on; 0 for no estimate.
        as_json: Print one JSON object instead of text.

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
    if is_loading:
        backends = build_backends(config)
        findings = run_interruptible(partial(_examine, findings, backends, estimated_problems))
    if as_json:
        print(json.dumps(as_json_object(findings), indent=2))
    else:
        print_findings(findings)
    return 0 if findings.is_fine else 1


async def _examine(
    findings: Findings, backends: Mapping[str, ConsultationBackend], estimated_problems: int
) -> Findings:
    async with AsyncExitStack() as stack:
        examination = Examination(backends, findings.recipe, findings.problems)
        findings = replace(findings, report=await examination.examine(stack))
        if not estimated_problems:
            return findings
        if not findings.is_fine:
            return replace(findings, estimate_error="what is missing has to be put right first")
        return await _estimate(findings, backends, examination.models, estimated_problems)


async def _estimate(
    findings: Findings,
    backends: Mapping[str, ConsultationBackend],
    models: Mapping[str, Model],
    limit: int,
) -> Findings:
    config, problems, place = findings.config, findings.problems, str(findings.config.problems)
    if config.problems is None:
        shipped = lab_folder() / "problems.jsonl"
        problems = [one for one in read_problems(shipped) if isinstance(one, Problem)]
        place = "the shipped lab's problems, as no problems file is named"
    findings = replace(findings, estimate_problems=place)
    try:
        estimate = await calibrate(
            {role: Connected(backend, models[role]) for role, backend in backends.items()},
            findings.recipe,
            problems[config.offset : config.offset + limit],
            seed=config.seed,
            budget=config.budget,
        )
    except CollabError as error:
        return replace(findings, estimate_error=str(error))
    return replace(findings, estimate=estimate)
