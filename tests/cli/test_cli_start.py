"""Starting the command line: help, version, what it imports, unknown commands."""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
from support.cli_helpers import invoke, write_config, write_pair

from collab import __version__

HEAVY = ("torch", "transformers", "openai", "numpy", "aiohttp", "yaml", "collab.runs.runner")
SLOW_TO_START = (*HEAVY, "structlog", "opentelemetry", "collab.controller")
"""Together they take longer than all else that showing the help does."""

SHOW_HELP = f"""
import sys
import collab.cli
sys.argv = ["collab", *sys.argv[1:]]
try:
    collab.cli.main()
except SystemExit as end:
    assert not end.code, end.code
print("imported:", [name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ((), (*SLOW_TO_START, "pydantic")),
        (("run",), SLOW_TO_START),  # typer itself imports pydantic to list flags
        (("train", "verifier"), SLOW_TO_START),
    ],
)
def test_help_imports_nothing_heavy(command: tuple[str, ...], names: tuple[str, ...]) -> None:
    code = SHOW_HELP.replace(repr(HEAVY), repr(names))

    shown = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True
    )

    assert "Usage: collab" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("kind", [(), ("backends",)])
def test_listing_plugins_imports_none_of_them(kind: tuple[str, ...]) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOW_HELP.replace("imported:", "x"), "ls", *kind],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "A model folder or hub id, run by torch and" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "x []"


def test_checking_a_configuration_imports_no_model_library(tmp_path: Path) -> None:
    config = write_config(tmp_path, pair="lab")
    code = SHOW_HELP.replace(repr(HEAVY), repr(("torch", "transformers", "openai")))

    shown = subprocess.run(
        [sys.executable, "-c", code, "validate", config], capture_output=True, text=True, check=True
    )

    assert "keys, plug-ins and options are fine" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "imported: []"


def test_help_is_shown_on_a_terminal_that_knows_ascii_alone() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "collab", "--help"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )

    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"the mentor's words are in" in shown.stdout


def test_a_shell_can_complete_commands() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import collab.cli; collab.cli.app(prog_name='collab')"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_COLLAB_COMPLETE": "complete_bash",
            "COMP_WORDS": "collab val",
            "COMP_CWORD": "1",
        },
    )

    assert shown.stdout.split() == ["validate"]


def test_verbose_stands_before_or_after_the_command(tmp_path: Path) -> None:
    command = ("solve", "2 + 3 = ", "--pair", write_pair(tmp_path), "--policy", "never")

    before = invoke("--verbose", *command)
    after = invoke(*command, "--verbose")
    without = invoke(*command)

    assert "problem.started" in before.stderr
    assert "problem.started" in after.stderr
    assert without.stderr == ""


@pytest.mark.parametrize(
    "command",
    ["solve", "run", "train verifier", "extract steering", "calibrate", "validate"],
)
def test_every_command_that_needs_a_pair_takes_a_configuration(command: str) -> None:
    shown = invoke(*command.split(), "--help")

    assert "--config" in shown.stdout


def test_two_configurations_are_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    shown = invoke("run", config, "--config", config)

    assert shown.exit_code == 2
    assert f"two configurations are given, '{config}' and --config '{config}'" in shown.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("solve", "2 + 3 = "),
        ("train", "verifier"),
        ("train", "verifier", "mlp"),
        ("extract", "steering"),
        ("calibrate",),
        ("run",),
        ("validate",),
    ],
)
def test_a_configuration_is_an_argument_of_every_command(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("colour: red\n")

    as_argument, as_option = invoke(*command, path), invoke(*command, "--config", path)

    assert as_argument.exit_code == as_option.exit_code == 2
    assert f"{path}: unknown key 'colour'" in as_argument.stderr
    assert as_argument.stderr == as_option.stderr


def test_a_name_and_a_configuration_come_in_either_order(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    shown = [invoke("train", "verifier", *words) for words in permutations((config, "agreement"))]

    assert {one.exit_code for one in shown} == {2}
    assert all("the verifier 'agreement' cannot be trained" in one.stderr for one in shown)


@pytest.mark.parametrize("words", [("mlp", "coin"), ("a.yaml", "b.yml"), ("mlp", "x", "a.yml")])
def test_two_names_or_two_configurations_are_refused(words: tuple[str, ...]) -> None:
    shown = invoke("train", "verifier", *words)

    assert shown.exit_code == 2
    assert "give at most one name and one configuration, which ends with .yaml" in shown.stderr


def test_validate_needs_a_configuration() -> None:
    shown = invoke("validate")

    assert shown.exit_code == 2
    assert "no configuration is given; `collab validate CONFIG.yaml` checks one" in shown.stderr


def test_a_configuration_can_be_an_option_of_run_and_an_offset_a_flag(tmp_path: Path) -> None:
    config = write_config(tmp_path, problems=5)

    shown = invoke("run", "--config", config, "--offset", 3, "--limit", 4, "--json")

    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert json.loads(shown.stdout)["problems"] == 2
    assert sorted(row["id"] for row in rows) == ["p4", "p5"]


def test_solve_takes_models_and_recipe_of_a_configuration(tmp_path: Path) -> None:
    config = write_config(tmp_path, policy="always", segment_tokens=16)

    shown = invoke("solve", "2 + 3 = ", "--config", config)
    alone = invoke("solve", "2 + 3 = ", "--config", config, "--policy", "never")

    assert shown.stdout.splitlines()[0] == "⟦I add both. The answer is 5.⟧"
    assert alone.stdout.splitlines()[0] == "I add both. The answer is 6."


def test_the_module_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "collab", "--version"], capture_output=True, text=True, check=True
    )

    assert shown.stdout == f"collab {__version__}\n"


def test_every_command_is_in_the_help() -> None:
    shown = invoke("--help")

    assert shown.exit_code == 0
    for command in ("demo", "solve", "run", "train", "validate", "ls"):
        assert f" {command} " in shown.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    shown = invoke("slove")

    assert shown.exit_code == 2
    assert "No such command 'slove'. Did you mean 'solve'?" in shown.stderr
