"""`collab validate`: checks a configuration without working on any problem."""

from functools import partial
from pathlib import Path

import anyio

from collab.assembly import build_controller
from collab.config import RunConfig
from collab.config_files import load_config
from collab.controller import Controller
from collab.problems import BrokenLine, read_problems


def execute(path: Path, *, is_loading: bool) -> int:
    """Print what was checked; return the exit code.

    Raises:
        ConfigError: The configuration cannot be run.
    """
    config = load_config(path)
    controller = build_controller(config)
    recipe = controller.recipe
    plugins = ", ".join(recipe.needs)
    roles = ", ".join(["generator", *config.pair.mentors_by_name])
    print(f"{path}: keys, plug-ins and options are fine")
    print(f"recipe {recipe.name}: {plugins}; participants: {roles}")
    code = _check_problems(config)
    if is_loading:
        anyio.run(partial(_connect, controller))
    return code


def _check_problems(config: RunConfig) -> int:
    if config.problems is None:
        print("no problems file is named; give one to `collab run` with --problems")
        return 0
    lines = list(read_problems(config.problems))
    broken = [line for line in lines if isinstance(line, BrokenLine)]
    print(f"{config.problems}: {len(lines) - len(broken)} problems, {len(broken)} broken lines")
    for line in broken:
        print(f"  line {line.line}: {line.why}")
    return 1 if broken else 0


async def _connect(controller: Controller) -> None:
    async with controller:
        degradations = "; ".join(controller.degradations) or "none"
        print(f"the models are loaded and can do what is needed; degradations: {degradations}")
