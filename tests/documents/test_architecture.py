"""The page on the architecture says what the files and their imports are."""

import re
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from support.documents import ROOT, text_of

PAGE = "docs/architecture.md"
PACKAGES = ("collab", "collab_policies", "collab_backends")
CORE = ROOT / "collab"


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def block_under(heading: str) -> list[str]:
    """Return the lines of the first fenced block under a heading."""
    section = text_of(PAGE).split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split("```text\n")[1].split("```")[0].splitlines()


def test_the_tree_names_every_module_and_package_of_the_core() -> None:
    lines = [line for line in block_under("The tree") if line.startswith("  ")]
    named = {line.split()[0] for line in lines}

    modules = {path.name for path in CORE.glob("*.py") if not path.name.startswith("__")}
    packages = {f"{path.parent.name}/" for path in CORE.glob("*/__init__.py")}
    assert named == modules | packages


def test_the_floors_are_those_that_the_imports_are_held_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (core,) = [one for one in contracts if one.get("containers") == ["collab"]]

    assert block_under("Who stands on whom") == core["layers"]


def test_every_hop_of_a_problem_is_an_import(graph: grimp.ImportGraph) -> None:
    hops = re.findall(r"^- `(\w+)\.py` → `(\w+)\.py`$", text_of(PAGE), flags=re.MULTILINE)

    assert len(hops) > 10
    for above, below in hops:
        imported = graph.find_modules_directly_imported_by(f"collab.controller.{above}")
        assert f"collab.controller.{below}" in imported, (above, below)


def test_the_way_of_a_problem_names_files_that_are_there() -> None:
    named = {line.split()[0] for line in block_under("The way of one problem")}
    hops = re.findall(r"^- (`\w+\.py` → `\w+\.py`)$", text_of(PAGE), flags=re.MULTILINE)

    assert named == {name for hop in hops for name in re.findall(r"\w+\.py", hop)}
    assert all((CORE / "controller" / name).is_file() for name in named)


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    try:
        list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


def test_files_stay_short_enough_to_read() -> None:
    longest = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("collab", "policies", "backends")
        for path in Path(ROOT / folder).rglob("*.py")
    }

    assert {name: lines for name, lines in longest.items() if lines > 400} == {}
