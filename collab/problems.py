"""Problems, and reading them from files and data sets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from collab.errors import ProblemFileError
from collab.problem_records import Record
from collab.problem_sources import ProblemSource, content_id


class Problem(BaseModel):
    """One question to answer.

    Without an `id`, the id is a hash of the prompt, never its position, so that resuming and
    reordering change nothing.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(default="", max_length=200, description="Unique within a run.")
    prompt: str = Field(description="The text shown to the models.")
    answer: str | None = Field(
        default=None, description="The right answer, for grading; blank is none."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("prompt"), str):
            values = dict(values)
            if values.get("id") in (None, ""):
                values["id"] = content_id(values["prompt"])
            for name in ("id", "answer"):
                if isinstance(values.get(name), int | float):
                    values[name] = str(values[name])
            if isinstance(values.get("answer"), str) and not values["answer"].strip():
                values["answer"] = None
        return values


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line or row of a problems file that is no problem."""

    line: int
    why: str

    @property
    def id(self) -> str:
        """The id under which a run records it."""
        return f"broken-line:{self.line}"


def read_problems(source: ProblemSource | Path) -> Iterator[Problem | BrokenLine]:
    """Yield the problems of a file or data set, and each broken row as one.

    Without options, a row has `prompt` (or `question`), and optionally `id` and `answer`. Empty
    lines are passed over.

    Raises:
        ProblemFileError: It cannot be read, or two rows have the same id.
    """
    source = source if isinstance(source, ProblemSource) else ProblemSource(source=str(source))
    seen: dict[str, int] = {}
    for record in source.records():
        problem = _as_problem(record)
        if first := seen.get(problem.id):
            raise ProblemFileError(
                f"{str(source)!r} has the id {problem.id!r} on lines {first} and {record.number}; "
                "give every problem its own `id` (without one, equal prompts are one problem)"
            )
        seen[problem.id] = record.number
        yield problem


def _as_problem(record: Record) -> Problem | BrokenLine:
    if record.why_broken:
        return BrokenLine(record.number, record.why_broken)
    try:
        return Problem.model_validate(record.values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "object"
        return BrokenLine(record.number, f"{where}: {first['msg']}")
