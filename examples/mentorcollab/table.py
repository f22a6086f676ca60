"""Run every pair on every task in three ways, and print the table of accuracies.

    python examples/mentorcollab/table.py --out runs/mentorcollab

The same command goes on where it stopped. See README.md for what to change before.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from collab.errors import ConfigError
from collab.runs.assembly import build_recipe
from collab.runs.config import RunConfig
from collab.runs.config_files import load_config
from collab.runs.runner import run
from collab.runs.summary import Summary

HERE = Path(__file__).parent
HEADINGS = ("generator", "mentor", "task", "N", "alone", "mentor alone", "together", "mentor share")
WAYS = ("alone", "mentor", "together")


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table."""

    way: str
    config: RunConfig


def main() -> int:
    """Work through all runs and print the table; return the exit code."""
    arguments = _parse_arguments()
    failed = False
    print(_line(HEADINGS), _line(["---"] * len(HEADINGS)), sep="\n", flush=True)
    for task in arguments.tasks:
        for pair in arguments.pairs:
            try:
                print(_line(_row(task, pair, arguments)), flush=True)
            except ConfigError as error:  # of this row, such as a server that is not there
                print(f"{task.stem}, {pair.stem}: {error}", file=sys.stderr, flush=True)
                failed = True
    return 2 if failed else 0


def _row(task: Path, pair: Path, arguments: argparse.Namespace) -> list[str]:
    done: dict[str, Summary] = {}
    for cell in _cells(task, pair, arguments):
        done[cell.way] = anyio.run(run, cell.config).summary
        together = cell.config
    models = [_model(together.pair.generator.options), _model(_mentor(together))]
    accuracies = [_accuracy(done[way]) for way in WAYS]
    share = f"{done['together'].mentor_share:.1%}"
    return [*models, task.stem, str(done["together"].graded), *accuracies, share]


def _cells(task: Path, pair: Path, arguments: argparse.Namespace) -> Iterator[Cell]:
    """Yield the runs of one row; `together`, which is as configured, is the last."""
    given = {"pair": str(pair), "limit": arguments.limit, "concurrency": arguments.concurrency}
    flags: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    together = load_config(task, flags)
    folder = arguments.out / task.stem
    recipe = build_recipe(together)
    alone: dict[str, object] = flags | {
        "policy": "never",
        "max_answer_tokens": recipe.max_answer_tokens,
        "stop_strings": list(recipe.stop_strings),
        "repeat_limit": recipe.repeat_limit,
        "sampling": recipe.sampling.model_dump(),
    }
    mentor = together.pair.mentors_by_name["mentor"].model_dump(mode="json")
    # Pairs with one mentor share its run.
    place = f"mentor-{_slug(_model(mentor))}-{_digest(mentor)}"
    for way, values, out in (
        ("alone", alone, folder / pair.stem / "alone"),
        ("mentor", alone | {"pair": {"generator": mentor}}, folder / place),
        ("together", flags, folder / pair.stem / "together"),
    ):
        yield Cell(way, load_config(task, {**values, "out": out}))


def _mentor(config: RunConfig) -> dict[str, object]:
    return dict(config.pair.mentors_by_name["mentor"].options)


def _model(options: object) -> str:
    return str(options.get("model", "?")) if isinstance(options, dict) else "?"


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]


def _accuracy(summary: Summary) -> str:
    if summary.accuracy is None:
        return "none graded"
    low, high = summary.accuracy_interval
    ungradable = summary.outcomes["ungradable"]
    note = f", {ungradable} ungradable" if ungradable else ""
    return f"{summary.accuracy:.1%} ({low:.1%} to {high:.1%}{note})"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _parse_arguments() -> argparse.Namespace:
    pairs, tasks = sorted((HERE / "pairs").glob("*")), sorted((HERE / "tasks").glob("*"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--pairs", type=Path, nargs="+", default=pairs, help="pair files")
    parser.add_argument("--tasks", type=Path, nargs="+", default=tasks, help="task files")
    parser.add_argument("--limit", type=int, help="only the first so many problems")
    parser.add_argument("--concurrency", type=int, help="problems in work at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
