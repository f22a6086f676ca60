"""`collab demo`: several ways to use the shipped pair of tiny models, measured and shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue
from rich.console import Console

from collab.cli.demo_ways import WAYS, Way
from collab.cli.exit_codes import DONE, SOME_FAILED
from collab.cli.terminal import authored, columns, harmless, percent, with_interval
from collab.cli.work import finish
from collab.errors import ConfigError
from collab.problems import Problem, read_problems
from collab.roles import GENERATOR
from collab.runs.config import RunConfig
from collab.runs.config_files import parse_config
from collab.runs.rows import Row
from collab.runs.run_files import read_rows
from collab.runs.runner import RunSummary, run

LAB_PACKAGE = "collab_backends.lab"

PRICE_RATIO = 10
"""How many times a mentor's token is taken to cost what a generator's does: usual for hosted models
of which one has ten times the size. The shipped pair itself costs nothing."""

_ABOUT = (
    "Nothing here is simulated: both models are loaded from this package, trained on the same "
    "toy arithmetic, and the problems were held out. They say nothing about large models; how "
    "they were made: {card}"
)


@dataclass(frozen=True, slots=True)
class MeasuredWay:
    """A way that was run.

    Attributes:
        way: The way.
        outcome: What its run came to.
        rows: Its rows, by problem.
    """

    way: Way
    outcome: RunSummary
    rows: Mapping[str, Row]

    @property
    def mentor_share(self) -> float:
        """Mentor-written share of the answers."""
        return 1.0 if self.way.is_mentor_alone else self.outcome.summary.mentor_share

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens decoded by the generator's model and by the mentor's, kept or not."""
        usage = self.outcome.summary.usage
        generator = usage[GENERATOR].completion_tokens
        mentor = sum(spent.completion_tokens for role, spent in usage.items() if role != GENERATOR)
        return (mentor, generator) if self.way.is_mentor_alone else (generator, mentor)

    @property
    def cost(self) -> int:
        """Price of all tokens decoded, in tokens of the generator's model."""
        generator, mentor = self.tokens
        return generator + PRICE_RATIO * mentor

    @property
    def working_s(self) -> float | None:
        """Seconds of work without loading; `None` if some of it was done earlier."""
        outcome = self.outcome
        is_whole = outcome.worked_on == outcome.summary.problems
        return outcome.working_s if is_whole else None


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer beside that of the generator alone."""

    problem: Problem
    way: Way
    row: Row
    alone: Row

    @property
    def merit(self) -> int:
        """How much the answer tells: 2 if the mentor turned it right, 1 if it spoke, else 0."""
        if self.row["mentor_share"] == 0.0:
            return 0
        is_turned = self.row["outcome"] == "correct" and self.alone["outcome"] != "correct"
        return 2 if is_turned else 1


def execute(limit: int, concurrency: int, out: Path | None, *, as_json: bool) -> int:
    """Run all ways, print the comparison and one answer; return the exit code.

    Raises:
        ConfigError: The shipped pair is not installed, or `out` cannot be used.
    """
    lab = lab_folder()
    with _folder(out) as folder:
        measure = partial(_measure, lab, folder, limit, concurrency, is_kept=out is not None)
        measured = [measure(way) for way in WAYS]
    problems = [one for one in read_problems(lab / "problems.jsonl") if isinstance(one, Problem)]
    shown = _telling(measured, problems[:limit])
    if as_json:
        print(json.dumps(_as_json(measured, shown), indent=2))
    else:
        _print(measured, shown, lab)
    is_any_failed = any(one.outcome.summary.outcomes["error"] for one in measured)
    return SOME_FAILED if is_any_failed else DONE


def lab_folder() -> Path:
    """Return the folder of the shipped pair; imports no model library.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        spec = find_spec(LAB_PACKAGE)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(f"the shipped pair {LAB_PACKAGE!r} is not installed; reinstall collab")
    return Path(spec.origin).parent


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with TemporaryDirectory(prefix="collab-demo-") as folder:
        yield Path(folder)


def _measure(
    lab: Path, folder: Path, limit: int, concurrency: int, way: Way, *, is_kept: bool
) -> MeasuredWay:
    config: RunConfig = parse_config(
        {
            **way.values,
            "problems": lab / "problems.jsonl",
            "limit": limit,
            "concurrency": concurrency,
            "out": folder / way.folder,
        },
        f"demo, {way.label}",
    )
    outcome = finish(partial(run, config), way.label, out=config.out if is_kept else None)
    return MeasuredWay(way, outcome, read_rows(folder / way.folder))


def _telling(measured: Sequence[MeasuredWay], problems: Sequence[Problem]) -> Shown:
    """Return the answer to show: one that the mentor turned right, if there is one.

    Of the recipe if possible, which comes last, else of another way with a mentor.
    """
    alone = measured[0].rows
    candidates = [
        Shown(problem, one.way, one.rows[problem.id], alone[problem.id])
        for one in reversed(measured[2:])
        for problem in problems
    ]
    return max(candidates, key=lambda one: one.merit)


# --- printing ---------------------------------------------------------------------------------


def _print(measured: Sequence[MeasuredWay], shown: Shown, lab: Path) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    print(_table(measured))
    print()
    print(f"{shown.problem.id}, {shown.way.label}; the mentor's words are in ⟦ ⟧:")
    print()
    print(harmless(shown.problem.text.strip()))
    for span in _spans(shown.row):
        console.print(authored(str(span["text"]), str(span["author"])), end="", soft_wrap=True)
    print("\n")
    print(f"{_outcome(shown.row)}; the generator alone: {_outcome(shown.alone)}")
    print()
    print(_ABOUT.format(card=lab / "MODEL_CARD.md"))


def _outcome(row: Row) -> str:
    return f"{row['outcome']} ({harmless(str(row['answer']))}, right is {row['reference']})"


def _table(measured: Sequence[MeasuredWay]) -> str:
    head = (
        f"{measured[0].outcome.summary.problems} problems",
        "accuracy, % (95 % interval)",
        "mentor share",
        "generator tokens",
        "mentor tokens",
        f"cost at 1 : {PRICE_RATIO}",
        "seconds, loaded",
    )
    mentor_cost = next(one.cost for one in measured if one.way.is_mentor_alone)
    return columns([head, *(_cells(one, mentor_cost) for one in measured)])


def _cells(one: MeasuredWay, mentor_cost: int) -> tuple[str, ...]:
    summary = one.outcome.summary
    generator, mentor = one.tokens
    return (
        one.way.label,
        with_interval(summary.accuracy, summary.accuracy_interval),
        percent(one.mentor_share),
        str(generator),
        str(mentor),
        percent(one.cost / mentor_cost),
        f"{one.working_s:.1f}" if one.working_s is not None else "-",
    )


def _as_json(measured: Sequence[MeasuredWay], shown: Shown) -> dict[str, JsonValue]:
    return {
        "ways": [_way_as_json(one) for one in measured],
        "shown": {"way": shown.way.label, "prompt": shown.problem.text, **shown.row},
    }


def _way_as_json(one: MeasuredWay) -> JsonValue:
    generator, mentor = one.tokens
    return {
        **one.outcome.summary.as_json(),
        "way": one.way.label,
        "mentor_share": one.mentor_share,
        "generator_tokens": generator,
        "mentor_tokens": mentor,
        f"cost_at_1_to_{PRICE_RATIO}": one.cost,
        "working_s": one.working_s,
    }


def _spans(row: Row) -> Sequence[Row]:
    spans: Sequence[Row] = row["spans"]  # type: ignore[assignment]  # as written by `collab.runs.rows`
    return [span for span in spans if "visible_to" not in span]
