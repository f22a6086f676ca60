"""What `collab validate` found: the value that its text and its JSON are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collab.examining.estimate import Estimate
from collab.examining.examination import Report
from collab.problems import BrokenLine, Problem
from collab.recipes import Recipe
from collab.runs.config import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found of a configuration.

    Attributes:
        path: Where it stands.
        config: The configuration.
        recipe: Its recipe.
        problems: Of its problems file.
        broken_lines: Likewise.
        report: What was found of the models; `None` if they were not to be connected.
        estimate: Whether they pay, if that was asked and could be measured.
        estimate_problems: On which file's problems.
        estimate_error: Why it could not be measured.
    """

    path: Path
    config: RunConfig
    recipe: Recipe
    problems: Sequence[Problem]
    broken_lines: Sequence[BrokenLine]
    report: Report | None = None
    estimate: Estimate | None = None
    estimate_problems: str = ""
    estimate_error: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether the configuration can be run as it stands."""
        is_runnable = self.report is None or not self.report.failures
        return is_runnable and not self.broken_lines and not self.estimate_error
