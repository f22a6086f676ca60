"""Starting the command line: help, version, what it imports, unknown commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli_helpers import invoke, write_config, write_pair

from collab import __version__

HEAVY = ("torch", "transformers", "openai", "numpy", "aiohttp", "yaml", "collab.runs.runner")
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


def test_help_imports_nothing_heavy() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOW_HELP, "--help"], capture_output=True, text=True, check=True
    )

    assert (
        "A small model writes the answer; a large model helps only where it pays." in shown.stdout
    )
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
