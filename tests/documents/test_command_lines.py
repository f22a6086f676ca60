"""Every `collab ...` of the documents is a command there is; those on what ships are run."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer.main
from support.commands import run
from typer.core import TyperGroup

from collab.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "policies/*.md", "backends/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^(?:\.venv/bin/)?collab ")
ASSIGNMENT = re.compile(r"^(\w+)=(\S+)")
NEEDS_MORE = re.compile(r"pair\.yaml|hybrid\.yaml|every-nth|gemma|CONFIG")
"""Of a user: models, servers, a package that a test of its own installs."""


def command_lines(document: Path) -> list[list[str]]:
    """Return the words of every `collab ...` in a document's shell blocks, variables filled in."""
    found = []
    variables: dict[str, str] = {}
    for block in BLOCK.findall((ROOT / document).read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if assignment := ASSIGNMENT.match(line):
                variables[assignment[1]] = assignment[2]
            if COMMAND.match(line):
                words = shlex.split(line, comments=True)
                found.append([_filled(word, variables) for word in words[1:]])
    return found


def _filled(word: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        word = word.replace(f"${name}", value)
    return word


ALL = [
    pytest.param(words, id=f"{document}-{number}")
    for document in DOCUMENTS
    for number, words in enumerate(command_lines(document))
]


@pytest.mark.parametrize("words", ALL)
def test_the_command_and_its_options_exist(words: list[str]) -> None:
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.commands[name]

    command.make_context("collab", words)


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "policies/README.md", "examples/README.md"])
def test_the_commands_on_what_ships_run_in_their_order(document: str, tmp_path: Path) -> None:
    for folder in ("examples", "backends"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    ready = [
        words for words in command_lines(Path(document)) if not NEEDS_MORE.search(" ".join(words))
    ]

    printed = [run(sys.executable, "-m", "collab", *words, cwd=tmp_path) for words in ready]

    assert all(printed)


def test_the_guides_have_commands_on_what_ships() -> None:
    ready = [
        words[0]
        for words in command_lines(Path("policies/README.md"))
        if not NEEDS_MORE.search(" ".join(words))
    ]

    assert {"train", "extract", "calibrate", "run"} <= set(ready)
