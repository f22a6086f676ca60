"""Benchmarks: ratios measured side by side in one process, printed as a table and as JSON.

Run them with `make bench`. Times are CPU seconds of this process unless a name says otherwise;
each figure is a median over repeats. Nothing here decides whether tests pass.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

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

BENCHMARKS: tuple[Callable[[], dict[str, float]], ...] = (
    measure_cli,
    measure_decoding,
    measure_sessions,
    measure_limit,
    measure_remote,
    measure_latency,
    measure_mentorcollab,
    measure_rank,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    out: Path = parser.parse_args().out
    figures: dict[str, float] = {}
    for benchmark in BENCHMARKS:
        figures |= benchmark()
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3g}")
    Console().print(table)
    out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
