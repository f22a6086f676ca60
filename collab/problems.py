"""Problems, and reading them from JSON Lines."""

import codecs
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from collab.errors import ProblemFileError


class Problem(BaseModel):
    """One question to answer.

    Without an `id`, the id is a hash of the prompt, never its position, so that resuming and
    reordering change nothing.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(default="", max_length=200, description="Unique within a run.")
    prompt: str = Field(description="The text shown to the models.")
    answer: str | None = Field(default=None, description="The right answer, for grading.")

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("prompt"), str):
            values = dict(values)
            if values.get("id") in (None, ""):
                values["id"] = _content_id(values["prompt"])
            for name in ("id", "answer"):
                if isinstance(values.get(name), int | float):
                    values[name] = str(values[name])
        return values


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line of a problems file that is no problem."""

    line: int
    why: str

    @property
    def id(self) -> str:
        """The id under which a run records it."""
        return f"broken-line:{self.line}"


def read_problems(path: Path) -> Iterator[Problem | BrokenLine]:
    """Yield the problems of a JSON Lines file, and each broken line as one.

    A line is an object with `prompt` (or `question`), and optionally `id` and `answer`. Empty
    lines are passed over.

    Raises:
        ProblemFileError: The file cannot be read, or two lines have the same id.
    """
    if path.exists() and not path.is_file():
        raise ProblemFileError(
            f"cannot read problems from {str(path)!r}: it is no regular file. A run reads its "
            "problems again when it goes on, so save what comes through a pipe first"
        )
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise ProblemFileError(f"cannot read problems from {str(path)!r}: {error}") from error
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        problem = _parse_line(number, line)
        if first := seen.get(problem.id):
            raise ProblemFileError(
                f"{str(path)!r} has the id {problem.id!r} on lines {first} and {number}; "
                "give every problem its own `id` (without one, equal prompts are one problem)"
            )
        seen[problem.id] = number
        yield problem


def _parse_line(number: int, line: bytes) -> Problem | BrokenLine:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BrokenLine(number, f"not UTF-8: {error}")
    except (ValueError, RecursionError) as error:
        return BrokenLine(number, f"not JSON: {error}")
    if not isinstance(values, dict):
        return BrokenLine(number, f"expected an object, found {type(values).__name__}")
    if "prompt" not in values and "question" in values:
        values["prompt"] = values.pop("question")
    try:
        return Problem.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "object"
        return BrokenLine(number, f"{where}: {first['msg']}")


def _content_id(prompt: str) -> str:
    return hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest()[:12]
