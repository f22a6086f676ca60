"""Run a pair on GSM8K in every way of ways.yaml, and print the table.

    python examples/gsm8k/table.py --pair examples/gsm8k/pairs/hub.yaml --out runs/gsm8k

The same command goes on where it stopped. See README.md.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio
from figures import Figures, figures, paired
from ways import Way, configured, load_ways

from collab.cli.progress import shown_progress
from collab.cli.terminal import percent, with_interval
from collab.errors import CollabError
from collab.runs.runner import run

HERE = Path(__file__).parent
HEADINGS = (
    "way",
    "N",
    "accuracy (95 % interval)",
    "mentor share",
    "mentor wrote",
    "cost",
    "minutes",
    "against the generator",
    "against its control",
)


def main() -> int:
    """Run all ways and print the table; return the exit code."""
    arguments = _parse_arguments()
    flags = {
        key: value
        for key in ("pair", "problems", "limit", "offset", "concurrency")
        if (value := getattr(arguments, key)) is not None
    }
    ways = load_ways(arguments.ways)
    if arguments.only:
        ways = [way for way in ways if way.name in arguments.only]
    done: dict[str, Figures] = {}
    failed = False
    for way in ways:
        try:
            done[way.name] = _measured(way, arguments, flags, done)
        except CollabError as error:  # of this way, such as a server that cannot do what it needs
            print(f"{way.name}: {error}", file=sys.stderr, flush=True)
            failed = True
    print(*_table(ways, done, arguments.price_ratio), sep="\n")
    return 1 if failed else 0


def _measured(
    way: Way,
    arguments: argparse.Namespace,
    flags: Mapping[str, object],
    done: Mapping[str, Figures],
) -> Figures:
    share = None
    if way.matches:
        if way.matches not in done:
            raise CollabError(f"{way.matches!r}, whose mentor share it is given, was not run")
        share = done[way.matches].summary.mentor_share
    config = configured(
        way, arguments.task, flags, arguments.out, stops=arguments.stop, share=share
    )
    assert config.out is not None, "given by `configured`"
    with shown_progress(way.name) as report:
        outcome = anyio.run(partial(run, config, on_progress=report))
    return figures(outcome.summary, config.out, way.alone)


def _table(ways: Sequence[Way], done: Mapping[str, Figures], ratio: float) -> list[str]:
    controls = {way.matches: way.name for way in ways if way.matches}
    rows = [HEADINGS, ["---"] * len(HEADINGS)]
    for name, own in done.items():
        against = [done.get("generator"), done.get(controls.get(name, ""))]
        rows.append(
            [name, *_cells(own, done.get("mentor"), ratio), *(_test(own, o) for o in against)]
        )
    return [f"| {' | '.join(row)} |" for row in rows]


def _cells(own: Figures, mentor: Figures | None, ratio: float) -> list[str]:
    summary = own.summary
    share = 1.0 if own.alone == "mentor" else summary.mentor_share
    wrote, cost = "", ""
    if mentor:
        alone = mentor.spent("mentor").completion_tokens
        wrote = percent(own.spent("mentor").completion_tokens / alone)
        cost = percent(own.cost(ratio) / mentor.cost(ratio))
    return [
        str(summary.problems),
        with_interval(summary.accuracy, summary.accuracy_interval),
        percent(share),
        wrote,
        cost,
        f"{own.minutes:.0f}",
    ]


def _test(own: Figures, other: Figures | None) -> str:
    if other is None or own is other:
        return ""
    won, lost, p = paired(own, other)
    return f"+{won} -{lost}, p {p:.2g}"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pair", required=True, help="`lab`, or a file with both models")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--task", type=Path, default=HERE / "task.yaml", help="prompt and grading")
    parser.add_argument("--ways", type=Path, default=HERE / "ways.yaml", help="what is compared")
    parser.add_argument("--stop", nargs="+", default=(), help="texts that end an answer")
    parser.add_argument("--only", nargs="+", metavar="WAY", help="of these, only some")
    parser.add_argument("--problems", help="another file or data set with the same columns")
    parser.add_argument("--limit", type=int, help="only the first so many problems")
    parser.add_argument("--offset", type=int, help="without the first so many problems")
    parser.add_argument("--concurrency", type=int, help="problems in work at a time")
    parser.add_argument(
        "--price-ratio",
        type=float,
        default=10.0,
        help="how many times the mentor's tokens cost what the generator's do",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
