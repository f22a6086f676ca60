"""Every command of the documents is one there is; those on what ships are run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from support.commands import run
from support.documents import DOCUMENTS, ROOT, Block, blocks_of, write_named_files
from typer.core import TyperGroup

from collab.cli.app import app

BLOCKS = blocks_of(DOCUMENTS, "sh", "bash")
COLLAB = re.compile(r"^(?:\.venv/bin/)?collab ")
SCRIPT = re.compile(r"^python (\S+\.py)", re.MULTILINE)
TARGET = re.compile(r"^make (?!\w+=)(\w+)", re.MULTILINE)
ASSIGNMENT = re.compile(r"^(\w+)=(\S+)")

IN_TURN = """
import json, sys
from collab.cli.app import app
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"collab {words}: exit code {ended.code}")
"""
"""One process for all commands of a page, so that model libraries are imported once."""


def command_lines(blocks: list[Block]) -> list[list[str]]:
    """Return the words of every `collab ...` in a document's shell blocks, variables filled in."""
    found = []
    variables: dict[str, str] = {}
    for block in blocks:
        for line in block.code.replace("\\\n", " ").splitlines():
            if assignment := ASSIGNMENT.match(line):
                variables[assignment[1]] = assignment[2]
            if COLLAB.match(line):
                words = shlex.split(line, comments=True)
                found.append([_filled(word, variables) for word in words[1:]])
    return found


def _filled(word: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        word = word.replace(f"${name}", value)
    return word


RUN = [
    document
    for document in DOCUMENTS
    if document.startswith(("docs/", "README"))
    and command_lines([b for b in BLOCKS if b.document == document and not b.why_not_run])
]
ALL = [
    pytest.param(words, id=f"{document}-{number}")
    for document in DOCUMENTS
    for number, words in enumerate(command_lines([b for b in BLOCKS if b.document == document]))
]


@pytest.mark.parametrize("words", ALL)
def test_the_command_and_its_options_exist(words: list[str]) -> None:
    command = typer.main.get_command(app)
    if set(words) & {"--help", "--install-completion"}:
        return  # of every command line; they would print and leave
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.commands[name]

    command.make_context("collab", words)


@pytest.mark.parametrize("block", [pytest.param(block, id=block.id) for block in BLOCKS])
def test_the_block_is_shell_with_files_and_targets_that_exist(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text()

    parsed = subprocess.run(["bash", "-n"], input=block.code, text=True, capture_output=True)

    assert parsed.returncode == 0, parsed.stderr
    assert [name for name in SCRIPT.findall(block.code) if not (ROOT / name).is_file()] == []
    assert [name for name in TARGET.findall(block.code) if f"\n{name}: " not in makefile] == []


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN)
def test_the_commands_on_what_ships_run_in_their_order(document: str, tmp_path: Path) -> None:
    for folder in ("examples", "backends"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    write_named_files(document, tmp_path)
    ready = [one for one in BLOCKS if one.document == document and not one.why_not_run]

    run(sys.executable, "-c", IN_TURN, json.dumps(command_lines(ready)), cwd=tmp_path)


def test_every_command_is_run_from_some_document() -> None:
    ready = [block for block in BLOCKS if block.document in RUN and not block.why_not_run]

    names = {words[0] for words in command_lines(ready)}

    assert {"solve", "run", "validate", "ls", "train", "extract", "calibrate"} <= names
