"""Benchmarks: ratios measured side by side in one process, printed as a table and as JSON.

Run them with `make bench`, or some of them with `make bench ONLY="decoding sessions"`; `engine`
stands for all parts of the local engine. Times are CPU seconds of this process unless a name says
otherwise; each figure is a median over repeats. Nothing here decides whether tests pass.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

sys.path.append(str(Path(__file__).parents[1]))

from bench_cli import measure_cli
from bench_decode import measure_decoding
from bench_latency import measure_latency
from bench_limit import measure_limit
from bench_mentorcollab import measure_mentorcollab
from bench_rank import measure_rank
from bench_remote import measure_remote
from bench_sessions import measure_sessions
from rich.console import Console
from rich.table import Table

BENCHMARKS: dict[str, Callable[[], dict[str, float]]] = {
    "cli": measure_cli,
    "decoding": measure_decoding,
    "sessions": measure_sessions,
    "limit": measure_limit,
    "remote": measure_remote,
    "latency": measure_latency,
    "mentorcollab": measure_mentorcollab,
    "rank": measure_rank,
}
GROUPS = {"engine": ("decoding", "sessions", "limit")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--only", nargs="+", default=list(BENCHMARKS), metavar="PART")
    given = parser.parse_args()
    chosen = [part for name in given.only for part in GROUPS.get(name, (name,))]
    if unknown := sorted(set(chosen) - set(BENCHMARKS)):
        names = ", ".join((*BENCHMARKS, *GROUPS))
        parser.error(f"there is no part {', '.join(unknown)}; there are {names}")
    figures: dict[str, float] = {}
    for name in dict.fromkeys(chosen):
        started = perf_counter()
        figures |= BENCHMARKS[name]()
        figures[f"seconds.{name}"] = perf_counter() - started
        # What was measured is kept if a later part fails.
        given.out.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
