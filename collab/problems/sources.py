"""Where problems come from, and how a row becomes one: columns, options, a template, shuffling."""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike, fspath
from string import Formatter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from collab.messages import is_conversation
from collab.problems.records import Record, content_digest, read_records

LETTERS = "ABCDEFGHIJ"
"""Of the options of a multiple-choice question, in order."""

AnswerForm = Literal["letter", "index", "option"]
"""What the column of right answers holds where there are options: a letter, a number from 0, or the
option's text."""


class ProblemSource(BaseModel):
    """A problems file or data set, written as its place alone or with options.

    A template names columns in braces: `{prompt}` is the column of prompts, `{choices}` the
    lettered options, any other name a column; `{{` and `}}` are braces. A column that holds a list
    is written line by line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        min_length=1,
        description="A file (.csv, .parquet, else JSON Lines), or hf://owner/name?split=test.",
    )
    rows: str = Field(
        default="",
        pattern=r"^(-?\d{0,15}:-?\d{0,15})?$",
        description="Which rows, as START:END from 0, such as 100:160, :50 or -500:; all if empty.",
    )
    prompt: str = Field(
        default="",
        description="Column of the question; `prompt`, `question` or `messages` if not given.",
    )
    answer: str = Field(default="answer", description="Column of the right answer.")
    id: str = Field(default="id", description="Column of ids; the question's hash if missing.")
    choices: str | tuple[str, ...] = Field(
        default=(), description="Column that lists the options, or their columns in order."
    )
    answer_as: AnswerForm = Field(
        default="letter", description="How the right option is named: letter, index or option."
    )
    template: str = Field(default="", description="The text shown to the models.")
    shuffle_seed: int | None = Field(
        default=None, description="Shuffle the options of each problem, in its own order."
    )

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, value: object) -> object:
        return {"source": fspath(value)} if isinstance(value, str | PathLike) else value

    @field_validator("template")
    @classmethod
    def _can_be_filled(cls, template: str) -> str:
        try:
            fields = list(Formatter().parse(template))
        except ValueError as error:
            raise ValueError(f"{error}; a brace that is text is written twice") from error
        for _, name, spec, conversion in fields:
            if name is not None and (not name or spec or conversion or set(name) & set(".[")):
                raise ValueError(
                    f"{{{name}}} is not a column; name one alone in braces, and write a brace that "
                    "is text twice"
                )
        return template

    @model_validator(mode="after")
    def _shuffles_something(self) -> "ProblemSource":
        if self.shuffle_seed is not None and not self.choices:
            raise ValueError("shuffle_seed shuffles options; name their column in `choices`")
        return self

    def __str__(self) -> str:
        """Return the place."""
        return self.source

    @property
    def options(self) -> dict[str, JsonValue]:
        """All that is given beside the place, as JSON."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"source"})

    @property
    def digest(self) -> str:
        """A digest of the content.

        Raises:
            ProblemFileError: It cannot be read.
        """
        return content_digest(self.source)

    def records(self) -> Iterator[Record]:
        """Yield the rows, as `prompt`, `answer` and `id`; or why one is broken.

        Raises:
            ProblemFileError: The source cannot be read as a whole.
        """
        for record in self._sliced(read_records(self.source)):
            if record.why_broken:
                yield record
                continue
            try:
                yield Record(record.number, self._prepared(record.values))
            except ValueError as error:
                yield Record(record.number, why_broken=str(error))
            except RecursionError:
                yield Record(record.number, why_broken="a column is nested too deeply")

    def _sliced(self, records: Iterable[Record]) -> Iterable[Record]:
        if not self.rows:
            return records
        start, end = (int(part) if part else None for part in self.rows.split(":"))
        if min(start or 0, end or 0) < 0:
            return list(records)[start:end]
        return islice(records, start, end)

    def _prepared(self, row: Mapping[str, object]) -> dict[str, object]:
        """Return what a problem is made from.

        Raises:
            ValueError: A column is missing or holds something else than it should.
        """
        given = self.model_fields_set
        found = {
            name: _cell(row, column, is_needed=name in given)
            for name, column in (
                ("id", self.id),
                ("prompt", self.prompt or _question_column(row)),
                ("answer", self.answer),
            )
            if column in row or name in given
        }
        asked = found.get("prompt")
        if isinstance(asked, str) and (self.prompt or _question_column(row)) == "messages":
            asked = found["prompt"] = _parsed_list(asked)
        if is_conversation(asked):
            if self.template or self.choices:
                raise ValueError(
                    "the question is a list of messages, which has no place in a template or "
                    "before options; leave out `template` and `choices`"
                )
            return found
        # Only the columns that are shown: what stands in others is no matter.
        texts = {name: _as_text(row[name]) for name in self._shown & set(row)}
        if found.get("prompt") is not None:
            texts["prompt"] = _as_text(found["prompt"])
        if self.choices:
            found |= self._with_choices(row, found, texts)
        if self.template or self.choices:
            found["prompt"] = _filled(self.template or "{prompt}\n\n{choices}", texts)
        return found

    @property
    def _shown(self) -> set[str]:
        """The columns that the template names, the question's own apart."""
        return {name for _, name, _, _ in Formatter().parse(self.template) if name} - {"prompt"}

    def _with_choices(
        self, row: Mapping[str, object], found: Mapping[str, object], texts: dict[str, str]
    ) -> dict[str, object]:
        """Return id and answer of a question with options, and put these into `texts`."""
        options = self._options_of(row)
        # Of the question as it stands there, so that it is the same in every order.
        name = str(found.get("id") or "") or content_id(
            "\n".join([texts.get("prompt", ""), *options])
        )
        right = self._right_option(found.get("answer"), options)
        order = list(range(len(options)))
        if self.shuffle_seed is not None:
            digest = hashlib.sha256(f"{self.shuffle_seed}\0{name}".encode()).digest()
            random.Random(int.from_bytes(digest, "big")).shuffle(order)
        lines = (f"({LETTERS[n]}) {options[place]}" for n, place in enumerate(order))
        texts["choices"] = "\n".join(lines)
        has_own_id = bool(found.get("id"))
        return {
            "id": name,
            "has_own_id": has_own_id,
            "answer": None if right is None else LETTERS[order.index(right)],
        }

    def _options_of(self, row: Mapping[str, object]) -> list[str]:
        if isinstance(self.choices, str):
            listed = _cell(row, self.choices, is_needed=True)
            listed = _parsed_list(listed) if isinstance(listed, str) else listed
            if not isinstance(listed, list | tuple):
                what = f"{self.choices}: expected a list of options, found {listed!r}"
                raise ValueError(what)  # noqa: TRY004  # of a row, like what else is wrong with it
        else:
            listed = [_cell(row, column, is_needed=True) for column in self.choices]
        options = [_as_text(option) for option in listed]
        if not 2 <= len(options) <= len(LETTERS):
            raise ValueError(f"{len(options)} options; expected 2 to {len(LETTERS)}")
        return options

    def _right_option(self, answer: object, options: Sequence[str]) -> int | None:
        if answer is None:
            return None
        said = _as_text(answer).strip()
        places = {
            "letter": [n for n in range(len(options)) if said.strip("().").upper() == LETTERS[n]],
            "index": [n for n in range(len(options)) if said == str(n)],
            "option": [n for n, option in enumerate(options) if option.strip() == said],
        }[self.answer_as]
        if len(places) != 1:
            raise ValueError(
                f"{self.answer}: {said!r} names {len(places) or 'none'} of the {len(options)} "
                f"options as {self.answer_as}; see `answer_as`"
            )
        return places[0]


def content_id(text: str) -> str:
    """Return an id that depends on the text alone."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def _question_column(row: Mapping[str, object]) -> str:
    return next((name for name in ("prompt", "question", "messages") if name in row), "prompt")


def _cell(row: Mapping[str, object], column: str, *, is_needed: bool) -> object:
    if is_needed and column not in row:
        raise ValueError(f"no column {column!r}; columns: {', '.join(map(str, row))}")
    return row.get(column)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "\n".join(map(_as_text, value))
    return str(value)


def _parsed_list(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return text.splitlines() if "\n" in text else None
    return parsed


def _filled(template: str, texts: Mapping[str, str]) -> str:
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            if name == "prompt" and name not in texts:
                raise ValueError("there is no prompt")
            if name not in texts:
                columns = ", ".join(sorted(texts))
                raise ValueError(f"the template names {name!r}; columns: {columns}")
            parts.append(texts[name])
    return "".join(parts)
