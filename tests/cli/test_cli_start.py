"""Starting the command line: help, version, what it imports, unknown commands."""

import subprocess
import sys

from support.cli_helpers import invoke

from collab import __version__

HEAVY = ("torch", "transformers", "openai", "numpy", "aiohttp", "yaml", "collab.runner")
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

    assert "A small model writes; a large one speaks only where it pays." in shown.stdout
    assert shown.stdout.splitlines()[-1] == "imported: []"


def test_listing_plugins_imports_none_of_them() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOW_HELP.replace("imported:", "x"), "ls", "backends"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "collab_backends.local.backend:LocalTorch" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "x []"


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
