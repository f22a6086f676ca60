"""Tables of the documents name what there is, all of it and nothing else."""

import re
import tomllib
from typing import Any

import pytest
import typer.main
from support.documents import ROOT, text_of

from collab.capabilities import PrefixMode
from collab.cli.app import app
from collab.controller import Result
from collab.grading import OUTCOMES
from collab.limits import Budget
from collab.runs.config import RunConfig

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = re.compile(r"`([^`]+)`")


def first_cells(document: str, heading: str) -> str:
    """Return the first cells of the tables under a heading, as one text."""
    section = re.split(r"^#+ ", text_of(document), flags=re.MULTILINE)
    (found,) = [part for part in section if part.partition("\n")[0] == heading]
    rows = [line for line in found.splitlines() if line.startswith("|")]
    return "\n".join(row.split("|")[1] for row in rows)


@pytest.mark.parametrize("kind", ["policies", "verifiers", "steerers", "strategies", "recipes"])
def test_the_table_of_plugins_is_complete(kind: str) -> None:
    listed = set(NAME.findall(first_cells("policies/README.md", kind.capitalize())))

    assert listed == set(PROJECT["entry-points"][f"collab.{kind}"])


def test_the_tables_of_methods_and_their_options_are_complete() -> None:
    recipes = set(PROJECT["entry-points"]["collab.recipes"])

    assert set(NAME.findall(first_cells("docs/methods.md", "Methods"))) == recipes
    assert set(NAME.findall(first_cells("docs/methods.md", "Options"))) == recipes


def test_the_table_of_extras_is_complete() -> None:
    listed = set(NAME.findall(first_cells("docs/own-models.md", "Install")))

    assert listed == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_the_table_of_commands_is_complete() -> None:
    listed = NAME.findall(first_cells("docs/command-line.md", "The command line"))

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert {words.split()[1] for words in listed} == set(commands)


def test_the_table_of_configuration_keys_is_complete() -> None:
    listed = NAME.findall(first_cells("docs/command-line.md", "Configuration keys"))

    assert set(listed) == set(RunConfig.model_fields)


def test_the_table_of_outcomes_is_complete() -> None:
    listed = NAME.findall(first_cells("docs/problems-and-graders.md", "Outcomes"))

    assert set(listed) == set(OUTCOMES)


def test_the_table_of_modes_is_complete() -> None:
    listed = NAME.findall(first_cells("docs/remote-servers.md", "What is observed on connection"))

    assert tuple(listed) == PrefixMode.__args__  # type: ignore[attr-defined]  # of a Literal


def test_every_bound_of_a_budget_is_named() -> None:
    assert [
        name for name in Budget.model_fields if f"`{name}`" not in text_of("docs/accounting.md")
    ] == []


def test_every_reason_to_end_is_named() -> None:
    documented = re.findall(
        r"`(\w+)", str(Result.__doc__).partition("reason:")[2].partition("spans:")[0]
    )

    listed = first_cells("docs/reliability.md", "When something fails")
    assert [one for one in documented if one not in listed] == []
