"""The documents, and the blocks of code in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "policies/*.md", "backends/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"^\*Not run by the tests: (.+)\.\*\n\n\Z", re.MULTILINE)
_FILE_NAME = re.compile(r"^# (\w+\.(?:py|yaml))\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        document: Where it stands.
        number: Its place among the document's blocks, from 0.
        language: As the fence names it; may be empty.
        code: What it says.
        why_not_run: The reason given above it; empty if it is run.
    """

    document: str
    number: int
    language: str
    code: str
    why_not_run: str = ""

    @property
    def id(self) -> str:
        """A name for a test."""
        return f"{self.document}-{self.number}"

    @property
    def file_name(self) -> str:
        """The name in its first line, under which other examples use it; empty if none."""
        named = _FILE_NAME.match(self.code)
        return named[1] if named else ""


def text_of(document: str) -> str:
    """Return what a document says."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks_in(text: str, document: str, languages: Sequence[str] = ()) -> list[Block]:
    """Return the blocks of a text, of these languages or of all."""
    found = []
    for number, fence in enumerate(_FENCE.finditer(text)):
        marked = _NOT_RUN.search(text[: fence.start()])
        found.append(Block(document, number, fence[1], fence[2], marked[1] if marked else ""))
    return [block for block in found if not languages or block.language in languages]


def blocks_of(documents: Sequence[str], *languages: str) -> list[Block]:
    """Return the blocks of several documents, of these languages or of all."""
    return [block for one in documents for block in blocks_in(text_of(one), one, languages)]


def write_named_files(document: str, folder: Path) -> None:
    """Write the blocks that name a file in their first line, as a reader of the page would."""
    for block in blocks_of([document], "python", "yaml"):
        if block.file_name:
            (folder / block.file_name).write_text(block.code, encoding="utf-8")
