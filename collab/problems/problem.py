"""Problems, and reading them from files and data sets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from collab.errors import ProblemFileError
from collab.messages import Prompt, as_messages, canonical_text, text_of
from collab.problems.records import Record
from collab.problems.sources import ProblemSource, content_id


class Problem(BaseModel):
    """One question to answer.

    Without an `id`, the id is a hash of the prompt, never its position, so that resuming and
    reordering change nothing. Of a conversation it is the hash of its JSON.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(default="", max_length=200, description="Unique within a run.")
    prompt: Prompt = Field(description="The text or the messages shown to the models.")
    answer: str | None = Field(
        default=None, description="The right answer, for grading; a blank one counts as none."
    )

    @property
    def text(self) -> str:
        """One text of the prompt, for people and for measuring its length."""
        return text_of(self.prompt)

    @field_validator("prompt", mode="before")
    @classmethod
    def _is_text_or_messages(cls, prompt: object) -> object:
        if isinstance(prompt, str):
            return prompt
        if isinstance(prompt, list | tuple):
            return as_messages(prompt)
        raise ValueError(f"expected a text or a list of messages, found {prompt!r}")

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("prompt"), str | list | tuple):
            values = dict(values)
            if values.get("id") in (None, ""):
                values["id"] = _id_of(values["prompt"])
            for name in ("id", "answer"):
                if isinstance(values.get(name), int | float):
                    values[name] = str(values[name])
            if isinstance(values.get("answer"), str) and not values["answer"].strip():
                values["answer"] = None
        return values


def _id_of(prompt: str | Sequence[object]) -> str:
    """Return a hash of a prompt; nothing for what is no prompt, as no problem is made of it."""
    if isinstance(prompt, str):
        return content_id(prompt)
    try:
        return content_id(canonical_text(as_messages(prompt)))
    except ValueError:
        return ""


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

    Without options, a row has `prompt` (or `question`, or `messages`), and optionally `id` and
    `answer`. A list of messages, objects with `role` and `content`, is a conversation. Empty lines
    are passed over.

    A row without an id whose prompt came before is a problem of its own: its id is the prompt's
    with the number of its turn, such as `-2`.

    Raises:
        ProblemFileError: It cannot be read, no row of it is a problem, or two rows have one id.
    """
    source = source if isinstance(source, ProblemSource) else ProblemSource(source=str(source))
    broken: list[BrokenLine] = []
    problems = _all_rows(source)
    for problem in problems:
        if isinstance(problem, Problem):
            yield from broken
            yield problem
            yield from problems
            return
        broken.append(problem)
    if broken:
        raise ProblemFileError(
            f"no row of {str(source)!r} is a problem; line {broken[0].line}: {broken[0].why}. "
            "Expected JSON Lines (an object per line), a JSON array of objects, CSV, TSV or "
            "Parquet, by the file's ending, with a column `prompt`, `question` or `messages`, or "
            "one that "
            "`problems.prompt` names"
        )


def _all_rows(source: ProblemSource) -> Iterator[Problem | BrokenLine]:
    seen: dict[str, int] = {}
    turns: Counter[str] = Counter()
    for record in source.records():
        problem = _as_problem(record)
        if isinstance(problem, Problem) and not _has_own_id(record):
            turns[problem.id] += 1
            if (turn := turns[problem.id]) > 1:
                problem = problem.model_copy(update={"id": f"{problem.id}-{turn}"})
        if first := seen.get(problem.id):
            raise ProblemFileError(
                f"{str(source)!r} has the id {problem.id!r} on lines {first} and {record.number}; "
                "give every problem its own `id`, or none an id"
            )
        seen[problem.id] = record.number
        yield problem


def _has_own_id(record: Record) -> bool:
    own = record.values.get("has_own_id", record.values.get("id") not in (None, ""))
    return bool(own)


def _as_problem(record: Record) -> Problem | BrokenLine:
    if record.why_broken:
        return BrokenLine(record.number, record.why_broken)
    try:
        return Problem.model_validate(record.values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "object"
        return BrokenLine(record.number, f"{where}: {first['msg'].removeprefix('Value error, ')}")
