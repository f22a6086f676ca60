"""The files beside the code say the same as the package."""

import re
import tomllib

import yaml
from support.documents import ROOT, text_of

from collab import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ALLOWED = {"abstract", "authors", "cff-version", "keywords", "license", "message", "title", "type"}


def test_the_citation_has_the_fields_that_its_format_needs() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert set(citation) <= ALLOWED | {"version"}
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "The Collab authors"}]
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert citation["version"] == PROJECT["project"]["version"] == __version__
    assert __version__ in text_of("CHANGELOG.md")


def test_what_belongs_to_the_sources_is_in_the_sdist() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]

    missing = [name for name in included if not (ROOT / name.lstrip("/")).exists()]
    assert missing == []
    assert {f"/{path.name}" for path in ROOT.glob("*.md")} - {"/README.md"} <= set(included)


def test_names_of_modules_in_the_changelog_are_modules() -> None:
    rows = [line.split("|") for line in text_of("CHANGELOG.md").splitlines() if line[:3] == "| `"]
    roots = {"collab": ".", "collab_policies": "policies", "collab_backends": "backends"}

    for _, before, now, _ in rows:
        old, new = (re.findall(r"`([\w.]+)`", cell) for cell in (before, now))
        assert len(old) <= len(new) + 1
        for name in new:
            path = ROOT / roots[name.partition(".")[0]] / name.replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), name
