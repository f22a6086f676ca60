"""The run directory: where finished problems are kept so that nothing is lost.

    config.json      what the rows depend on; another configuration is refused
    results.jsonl    one line per finished problem, on disk before it is reported
    ledger.jsonl     the calls of each problem, written before its result
    abandoned.jsonl  the calls of problems that were given up, as by an interruption
    summary.json     computed from the rows whenever the directory is closed
    lock             held by the one process that writes, and released by the system if it dies

A line counts once its newline is on disk. What follows the last newline is what a killed process
left behind, and is dropped.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from collab.durable_files import (
    append_line,
    cut_torn_line,
    lock_file,
    read_whole_lines,
    replace_file,
)
from collab.errors import RunDirectoryError
from collab.runs.config import RunConfig
from collab.runs.prices import priced_by
from collab.runs.rows import Row
from collab.runs.run_files import (
    FORMAT,
    AbandonedShape,
    attempt_of,
    read_attempts,
    read_config,
    read_lines,
)
from collab.runs.summary import Summary, summarise


class RunStore:
    """An open run directory. Use it as a context manager; one process at a time has it open.

    Args:
        folder: The directory; made if it is not there.
        compared: What has to be equal to continue, see `RunConfig.compared_record`.
        recorded: What is only kept beside it, such as versions and where prices come from.

    Attributes:
        rows: The newest row of each problem, by id.
        superseded: Rows that a newer attempt replaced.
        abandoned: Usage and calls of problems that were given up before they had a row.
    """

    def __init__(
        self, folder: Path, compared: Mapping[str, JsonValue], recorded: Mapping[str, JsonValue]
    ) -> None:
        self.folder = folder
        self.rows: dict[str, Row] = {}
        self.superseded: list[Row] = []
        self.abandoned: list[Row] = []
        self._compared = dict(compared)
        self._recorded = dict(recorded)
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Lock the directory, compare its configuration and read its rows.

        Raises:
            RunDirectoryError: Another process has it, it holds another configuration, is damaged
                or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(self.folder / "lock")
        except BlockingIOError as error:
            raise RunDirectoryError(
                f"{self.folder} is in use by the process {error.strerror}; wait for it to end, or "
                "use another directory"
            ) from error
        except OSError as error:
            raise RunDirectoryError(
                f"cannot use {self.folder} as run directory: {error}"
            ) from error
        try:
            self._compare()
            self._read_rows()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the summary and unlock. A summary that cannot be written hides no other error."""
        try:
            if self.rows or self.abandoned:
                self._write("summary.json", self.summary.as_json())
        except RunDirectoryError:
            if error is None:
                raise
        finally:
            self._unlock()

    @property
    def summary(self) -> Summary:
        """What the rows add up to, and what priced them."""
        return summarise(
            self.rows, [*self.superseded, *self.abandoned], priced_by(self._versions())
        )

    def begin(self) -> None:
        """Put the configuration on disk, so that what follows belongs to it.

        Raises:
            RunDirectoryError: The directory cannot be written.
        """
        versions = self._versions()
        if self._recorded not in versions:
            versions.append(self._recorded)
            config: Row = {"format": FORMAT, **self._compared, "versions": [*versions]}
            self._write("config.json", config)

    def add(self, row: Row, ledger: Row | None = None) -> None:
        """Put a finished problem on disk; when this returns, it is durable.

        Raises:
            RunDirectoryError: It cannot be written; all earlier rows are safe.
        """
        if ledger is not None:
            self._append("ledger.jsonl", ledger)
        self._append("results.jsonl", row)
        self._take(row)

    def note_abandoned(self, row: Row) -> None:
        """Put what a given-up problem has cost on disk; it is worked on again some time.

        Raises:
            RunDirectoryError: It cannot be written.
        """
        self._append("abandoned.jsonl", row)
        self.abandoned.append(row)

    def has_finished(self, problem: str) -> bool:
        """Whether a problem has a row, of another outcome than `error`."""
        row = self.rows.get(problem)
        return row is not None and row["outcome"] != "error"

    def next_attempt(self, problem: str) -> int:
        """Return the number of the next attempt at a problem, from 1."""
        row = self.rows.get(problem)
        return int(str(row["attempt"])) + 1 if row else 1

    # --- configuration ----------------------------------------------------------------------

    def _compare(self) -> None:
        known = read_config(self.folder)
        if known is None:
            if (self.folder / "results.jsonl").exists():
                raise RunDirectoryError(
                    f"{self.folder} has results but no config.json, so it is unknown what they "
                    "belong to; restore it or use another directory"
                )
            return
        found = {key: value for key, value in known.items() if key not in ("format", "versions")}
        # Compared as JSON, as which it is kept: a tuple is a list there.
        wanted = json.loads(json.dumps(self._compared))
        # A key that an earlier version did not have yet was what it is by default now.
        defaults = RunConfig.default_record()
        found |= {key: defaults[key] for key in wanted if key not in found and key in defaults}
        if found != wanted:
            lines = "\n".join(f"  {line}" for line in _differences("", found, wanted))
            raise RunDirectoryError(
                f"{self.folder} holds a run of another configuration:\n{lines}\n"
                "use another directory, or go back to the configuration it was begun with"
            )

    def _versions(self) -> list[Row]:
        """Return what was recorded beside the configuration, at every invocation that differed."""
        known = read_config(self.folder)
        versions = known.get("versions", []) if known else []
        return [one for one in versions if isinstance(one, dict)]  # type: ignore[union-attr]  # as written by `begin`

    # --- rows -------------------------------------------------------------------------------

    def _read_rows(self) -> None:
        try:
            cut_torn_line(self.folder / "ledger.jsonl")
            cut_torn_line(self.folder / "results.jsonl")
            cut_torn_line(self.folder / "abandoned.jsonl")
        except OSError as error:
            raise RunDirectoryError(f"{error.filename} cannot be read: {error}") from error
        for row in read_attempts(self.folder):
            self._take(row)
        self.abandoned = read_lines(self.folder / "abandoned.jsonl", AbandonedShape)
        self._drop_ledger_without_row()

    def _drop_ledger_without_row(self) -> None:
        """Drop the ledger of a problem that was killed before its row was on disk.

        A ledger is written right before its row, so only the last one can be without.
        """
        path = self.folder / "ledger.jsonl"
        try:
            lines = read_whole_lines(path)
            if lines and attempt_of(lines[-1]) not in self._attempts():
                replace_file(path, b"".join(line + b"\n" for line in lines[:-1]))
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be read: {error}") from error

    def _attempts(self) -> set[tuple[JsonValue, JsonValue]]:
        rows = (*self.rows.values(), *self.superseded)
        return {(row["id"], row["attempt"]) for row in rows}

    def _take(self, row: Row) -> None:
        problem = str(row["id"])
        if problem in self.rows:
            self.superseded.append(self.rows[problem])
        self.rows[problem] = row

    # --- writing ----------------------------------------------------------------------------

    def _append(self, name: str, row: Row) -> None:
        path = self.folder / name
        try:
            append_line(path, json.dumps(row, allow_nan=False).encode())
        except OSError as error:
            raise self._unwritable(path, error) from error

    def _write(self, name: str, values: Mapping[str, JsonValue]) -> None:
        """Replace a file as a whole, so that nobody ever reads half of it."""
        path = self.folder / name
        try:
            replace_file(path, json.dumps(values, indent=2).encode() + b"\n")
        except OSError as error:
            raise self._unwritable(path, error) from error

    def _unwritable(self, path: Path, error: OSError) -> RunDirectoryError:
        return RunDirectoryError(
            f"cannot write {path}: {error.strerror}; {len(self.rows)} finished problems are safely "
            "on disk. Make room or make it writable, then run the same command again to continue"
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _differences(place: str, found: JsonValue, wanted: JsonValue) -> list[str]:
    """Return one line per value that differs, by its dotted place."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        return [
            line
            for key in keys
            for line in _differences(
                f"{place}.{key}" if place else key, found.get(key), wanted.get(key)
            )
        ]
    if found == wanted:
        return []
    return [f"{place}: {json.dumps(found)} there, {json.dumps(wanted)} now"]
