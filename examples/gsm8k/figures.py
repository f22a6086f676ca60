"""What a way's run directory says: accuracy, tokens, money, and paired tests with another way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collab.roles import GENERATOR
from collab.runs.rows import Row
from collab.runs.run_files import read_rows
from collab.runs.summary import Summary
from collab.statistics import mcnemar_exact
from collab.usage import Price, Usage

PROMPT_SHARE, CACHED_SHARE = 0.25, 0.025
"""What a prompt token costs of a written one, not cached and cached: usual among hosted models."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One way's run.

    Attributes:
        summary: Of its rows.
        rows: By problem.
        alone: The model that wrote alone, if one did.
        minutes: Sum of the problems' own wall-clock times; with several in work they overlap.
    """

    summary: Summary
    rows: Mapping[str, Row]
    alone: str = ""

    @property
    def minutes(self) -> float:
        """Sum of the problems' wall-clock times; with several in work they overlap."""
        times = (row["timing"] for row in self.rows.values())
        return sum(one["total_s"] for one in times if isinstance(one, dict)) / 60  # type: ignore[misc]

    def spent(self, role: str) -> Usage:
        """Return what a participant was paid for; a model alone is paid in its own seat."""
        usage = self.summary.usage
        if self.alone:
            return usage[GENERATOR] if role == self.alone else Usage()
        if role == GENERATOR:
            return usage[GENERATOR]
        return sum((one for name, one in usage.items() if name != GENERATOR), Usage())

    def cost(self, ratio: float) -> float:
        """Return the price of all calls, in prices of a token that the generator writes.

        Args:
            ratio: How many times the mentor's tokens cost what the generator's do.
        """
        return (
            sum(
                _price(by).of(
                    prompt=one.prompt_tokens,
                    cached=one.cached_tokens,
                    completion=one.completion_tokens,
                )
                for by, one in ((1.0, self.spent(GENERATOR)), (ratio, self.spent("mentor")))
            )
            * 1e6
        )


def figures(summary: Summary, out: Path, alone: str) -> Figures:
    """Return the figures of a run directory."""
    return Figures(summary, read_rows(out), alone)


def paired(one: Figures, other: Figures) -> tuple[int, int, float]:
    """Return how many problems only `one` and only `other` got right, and the exact p value."""
    won = lost = 0
    for problem, row in one.rows.items():
        pair = row["outcome"] == "correct", other.rows[problem]["outcome"] == "correct"
        won += pair == (True, False)
        lost += pair == (False, True)
    return won, lost, mcnemar_exact(won, lost)


def _price(per_token: float) -> Price:
    return Price(
        prompt=PROMPT_SHARE * per_token, cached=CACHED_SHARE * per_token, completion=per_token
    )
