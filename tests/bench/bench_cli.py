"""How long a user waits for the command line."""

import subprocess
import sys
from statistics import median
from time import perf_counter

REPEATS = 9


def measure_cli() -> dict[str, float]:
    """`cli.help_s`: wall seconds of `collab --help`; `cli.python_s`: of an empty Python."""
    return {
        "cli.help_s": _seconds("-m", "collab", "--help"),
        "cli.python_s": _seconds("-c", "pass"),
    }


def _seconds(*arguments: str) -> float:
    times = []
    for _ in range(REPEATS):
        started = perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        times.append(perf_counter() - started)
    return median(times)
