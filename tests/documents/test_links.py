"""Links of the documents lead somewhere, and pages are found."""

import re
import string
from pathlib import Path

import pytest
from support.documents import DOCUMENTS, ROOT, text_of

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_DROPPED = str.maketrans("", "", string.punctuation.replace("-", "").replace("_", ""))


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub names them."""
    headings = HEADING.findall(CODE.sub("", text_of(document)))
    return {one.lower().translate(_DROPPED).replace(" ", "-") for one in headings}


def broken_links(document: str) -> list[str]:
    """Return the links of a document that lead nowhere in the repository."""
    broken = []
    for target in LINK.findall(CODE.sub("", text_of(document))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        is_there = path.exists()
        if is_there and anchor:
            is_there = anchor in anchors(_in_repository(path))
        if not is_there:
            broken.append(target)
    return broken


def _in_repository(path: Path) -> str:
    return str(path.resolve().relative_to(ROOT.resolve()))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_links_of_the_document_lead_somewhere(document: str) -> None:
    assert broken_links(document) == []


def test_an_anchor_is_the_heading_in_small_letters_with_hyphens() -> None:
    assert {"pages-how-a-token-passes-through-a-step", "what-is-guaranteed"} <= anchors(
        "docs/local-engine.md"
    )


def test_the_index_lists_every_page() -> None:
    listed = {target for target in LINK.findall(text_of("docs/index.md")) if "/" not in target}

    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}

    assert pages - listed == set()


@pytest.mark.parametrize(
    ("document", "lines"),
    [("README.md", 150), ("policies/README.md", 100), ("backends/README.md", 100)],
)
def test_what_is_read_first_is_short(document: str, lines: int) -> None:
    assert len(text_of(document).splitlines()) <= lines
