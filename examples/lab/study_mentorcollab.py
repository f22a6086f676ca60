"""Study MentorCollab on the lab pair: every verifier at several rates and segment lengths.

Every cell is an ordinary run directory under `--out`; what is finished there is not run again. The
tables are printed, and kept as `tables.md`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import anyio
from study_cells import (
    ALWAYS_MENTOR,
    RATES,
    VERIFIERS,
    Cell,
    Setting,
    rate_cells,
    segment_cells,
)
from study_figures import Figures, figures
from study_matching import matched
from study_tables import Line, tables

from collab.durable_files import replace_file
from collab.errors import ConfigError
from collab.roles import GENERATOR, MENTOR
from collab.runs.run_files import read_rows
from collab.runs.runner import run
from collab_backends.lab import LAB_FOLDER

PARAMETERS = {GENERATOR: 122_560, MENTOR: 479_232}
GENERATOR_ALONE, MENTOR_ALONE = Cell(alone=GENERATOR), Cell(alone=MENTOR)


def main() -> int:
    """Run what is missing, print the tables, and return 1 if some problem failed."""
    args = _parse_arguments()
    setting = Setting(
        problems=args.problems,
        limit=args.limit,
        out=args.out,
        concurrency=args.concurrency,
        generator=args.generator,
        mentor=args.mentor,
        mlp=args.mlp,
    )
    measure = Measuring(setting, lambda text: print(text, file=sys.stderr, flush=True))
    try:
        verifiers = _verifiers(args.verifiers, setting)
        parts = {"At several rates": rate_cells(verifiers, args.rates)}
        if not args.without_segments:
            parts["At several segment lengths"] = segment_cells(verifiers)
        found, errors = study(parts, measure, args.mentor_price)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    replace_file(args.out / "tables.md", f"{found}\n".encode())
    print(found)
    return 1 if errors else 0


class Measuring:
    """Runs cells, each once; called with a cell, it returns what that comes to.

    Args:
        setting: What all cells have in common.
        report: Told of every cell that is at hand.
    """

    def __init__(self, setting: Setting, report: Callable[[str], None]) -> None:
        self._setting = setting
        self._report = report
        self._known: dict[Cell, Figures] = {}

    def __call__(self, cell: Cell) -> Figures:
        """Return the figures of a cell.

        Raises:
            ConfigError: It cannot be run.
        """
        # Never asked, the mentor is not there: whatever the verifier, that is the generator alone.
        cell = cell if cell.alone or cell.rate else GENERATOR_ALONE
        if cell not in self._known:
            started = time.process_time()
            anyio.run(partial(run, self._setting.config(cell)))
            rows = read_rows(self._setting.out / cell.folder)
            self._known[cell] = figures(rows, is_mentor_alone=cell == MENTOR_ALONE)
            self._report(f"{cell.folder}: {time.process_time() - started:.1f} CPU s")
        return self._known[cell]


def study(
    parts: Mapping[str, Sequence[Cell]], measure: Callable[[Cell], Figures], mentor_price: float
) -> tuple[str, int]:
    """Return the tables of each part under its title, and how many problems failed."""
    for cell in chain((GENERATOR_ALONE, MENTOR_ALONE), *parts.values()):
        measure(cell)
    alone = measure(GENERATOR_ALONE)
    texts, errors = [], 0
    for title, cells in parts.items():
        lines = [Line(cell, measure(cell), None) for cell in (GENERATOR_ALONE, MENTOR_ALONE)]
        lines += [_line(cell, measure) for cell in cells]
        errors += sum(line.figures.errors for line in lines)
        texts.append(f"## {title}\n\n{tables(lines, alone, mentor_price)}")
    return "\n\n".join(texts), errors


def _line(cell: Cell, measure: Callable[[Cell], Figures]) -> Line:
    found = measure(cell)
    is_reference = cell.verifier == ALWAYS_MENTOR
    return Line(cell, found, None if is_reference else matched(cell, found.share, measure))


def _verifiers(asked: Sequence[str] | None, setting: Setting) -> list[str]:
    known = setting.verifiers
    if unknown := [one for one in asked or () if one not in known]:
        raise ConfigError(f"no verifier {unknown[0]!r} in this study; it has: {', '.join(known)}")
    return list(asked or known)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=Path, default=LAB_FOLDER / "problems.jsonl")
    parser.add_argument("--limit", type=int, help="only the first so many problems")
    parser.add_argument("--out", type=Path, default=Path("runs/study-mentorcollab"))
    parser.add_argument("--verifiers", nargs="+", help=f"of: {', '.join(VERIFIERS)}, mlp")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument(
        "--without-segments", action="store_true", help="leave out other lengths of segments"
    )
    parser.add_argument("--mlp", type=Path, help="a folder of `collab train verifier`")
    parser.add_argument("--generator", default="lab/generator", help="name or folder")
    parser.add_argument("--mentor", default="lab/mentor", help="name or folder")
    parser.add_argument(
        "--mentor-price",
        type=float,
        default=PARAMETERS[MENTOR] / PARAMETERS[GENERATOR],
        help="of a token, in tokens of the generator; by default the ratio of their parameters",
    )
    parser.add_argument("--concurrency", type=int, default=200, help="problems in work at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
