"""Study the methods by steps on the lab: accuracy against mentor share, and what signals say.

Every way is an ordinary run directory under `--out`; what is finished there is not run again. The
tables are printed, and kept as `tables.md`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import anyio
from step_signals import fits, labelled
from step_ways import (
    CALIBRATED,
    GENERATOR_ALONE,
    MENTOR_ALONE,
    ONE_PHASE,
    PUBLISHED,
    THE_ORACLE,
    StepSetting,
    Way,
    folder_of,
    steered,
)
from study_figures import Figures, figures, mcnemar
from study_tables import markdown, p_value

from collab.calibrating.aiming import Target
from collab.calibrating.calibrate import CalibrationPlan, CalibrationReport, RecipeFamily, calibrate
from collab.calibrating.calibrator import Calibrator
from collab.calibrating.recording import read_recorded
from collab.calibrating.telling import telling
from collab.cli.terminal import percent, with_interval
from collab.durable_files import replace_file
from collab.plugins import find
from collab.problems import Problem, read_problems
from collab.problems.sources import ProblemSource
from collab.runs.config_files import parse_config
from collab.runs.run_files import read_rows
from collab.runs.runner import run
from collab_backends.lab import LAB_FOLDER
from collab_policies.rank.calibrator import RankCalibrator
from collab_policies.thoughts import count_reflections, steps_of

ALWAYS = (GENERATOR_ALONE, MENTOR_ALONE, THE_ORACLE)
OTHERS = (*CALIBRATED, *PUBLISHED)
CLOSE, NEAR = 0.005, 0.01
MOST_HALVINGS = 7


def main() -> int:
    """Run what is missing and print the tables."""
    args = _parse_arguments()
    parts = []
    for named in args.generators:
        name, _, place = named.rpartition("=")
        setting = StepSetting(
            generator=place,
            problems=args.problems,
            limit=args.limit,
            out=args.out / (name or place.replace("/", "-")),
            concurrency=args.concurrency,
        )
        study = Study(setting, args.calibration_problems, args.target)
        others = [*OTHERS, *(steered(args.vector) if args.vector else ())]
        ways = [*ALWAYS, *(one for one in others if not args.ways or one.name in args.ways)]
        parts += [f"## {name or place}", study.ways(ways), study.signals()]
        if args.latency:
            parts.append(study.latency(ways, args.latency))
    text = "\n\n".join(parts)
    replace_file(args.out / "tables.md", f"{text}\n".encode())
    print(text)
    return 0


class Study:
    """The study of one generator.

    Args:
        setting: The pair and the problems.
        calibration_problems: Other held-out problems, which thresholds are set on.
        target: The mentor share that thresholds are set for.
    """

    def __init__(self, setting: StepSetting, calibration_problems: Path, target: float) -> None:
        self._setting = setting
        self._calibration_problems = calibration_problems
        self._target = target
        self._known: dict[str, tuple[Figures, float]] = {}

    def ways(self, ways: Sequence[Way]) -> str:
        """Return the table of ways, each beside random steps at equal share."""
        head = (
            "way",
            "accuracy (95 % interval)",
            "mentor share",
            "p, generator alone",
            "random-steps at equal share",
            "p",
            "decoded: generator, mentor",
            "calls: generator, mentor",
            "reflections",
        )
        return markdown([head, *(self._line(way) for way in ways)])

    def latency(self, ways: Sequence[Way], problems: int) -> str:
        """Return a table of seconds per problem, one problem at a time: whole, and by call."""
        names = ("total_s", "generator_s", "mentor_s", "judge_s")
        rows = [("way", "seconds per problem", "generator writes", "mentor writes", "judges")]
        for way in ways:
            options = self._calibrated(way) if way.is_calibrated else {}
            out = self._setting.out / "latency" / folder_of(way.name)
            changes = {"out": out, "limit": problems, "concurrency": 1}
            anyio.run(partial(run, self._setting.config(way, options).model_copy(update=changes)))
            timings = [one["timing"] for one in read_rows(out).values()]
            means = [fmean(float(str(one[name])) for one in timings) for name in names]
            rows.append((way.name, *(f"{mean:.3f}" for mean in means)))
        return markdown(rows)

    def signals(self) -> str:
        """Return the table of signals beside the truth, and the logistic fits."""
        way = next(one for one in CALIBRATED if one.recipe == "rankguide")
        self._calibrated(way)
        folder = self._calibration_folder(way)
        source = ProblemSource.model_validate(str(self._calibration_problems))
        prompts = {one.id: one.text for one in read_problems(source) if isinstance(one, Problem)}
        recorded = read_recorded(folder / "alone", source.digest)
        texts = [labelled(text, prompts[text.problem]) for text in recorded.texts]
        layers = json.loads((folder / "calibration.json").read_text())["rank"]["layers"]
        fitted = RankCalibrator(layers=tuple(layers)).fit(texts, recorded.source)
        signals = [fitted.signals(text) for text in texts]
        rows = [("signal", "AUROC of a first wrong step (95 % interval)", "same index", "steps")]
        for name, one in telling(texts, signals).items():
            low, high = one.interval
            within = "-" if one.within_index is None else f"{one.within_index:.3f}"
            rows.append(
                (name, f"{one.auroc:.3f} ({low:.3f} to {high:.3f})", within, str(one.steps))
            )
        fit_rows = [
            ("logistic fit on", "AUROC, on other problems"),
            *_as_rows(fits(texts, signals)),
        ]
        return f"{markdown(rows)}\n\n{markdown(fit_rows)}"

    def _line(self, way: Way) -> tuple[str, ...]:
        found, reflections = self._measured(way)
        alone, _ = self._measured(GENERATOR_ALONE)
        control = self._matched(found.share)
        mark = "" if abs(control.share - found.share) <= NEAR else " (!)"
        is_model = bool(way.alone)
        per = found.problems
        return (
            way.name,
            with_interval(found.accuracy, found.interval),
            percent(found.share),
            "-" if way is GENERATOR_ALONE else p_value(mcnemar(found, alone)),
            "-" if is_model else f"{percent(control.accuracy)} at {percent(control.share)}{mark}",
            "-" if is_model else p_value(mcnemar(found, control)),
            f"{found.generator.decoded / per:.1f}, {found.mentor.decoded / per:.1f}",
            self._calls(way),
            f"{reflections:.2f}",
        )

    def _calls(self, way: Way) -> str:
        rows = read_rows(self._setting.out / folder_of(way.name))
        counts = {"generator": 0, "mentor": 0}
        for row in rows.values():
            usage = row["usage"]
            assert isinstance(usage, dict), "as rows are written"
            for role, one in usage.items():
                assert isinstance(one, dict), "as rows are written"
                counts[role] += int(str(one["calls"]))
        return ", ".join(f"{count / len(rows):.1f}" for count in counts.values())

    def _matched(self, share: float) -> Figures:
        """Return the random steps with the nearest mentor share, by halving their rate."""
        low, high = 0.0, 1.0
        tried = {rate: self._measured(self._setting.random_steps(rate))[0] for rate in (low, high)}
        while min(abs(one.share - share) for one in tried.values()) > CLOSE:
            if len(tried) >= MOST_HALVINGS + 2:
                break
            middle = (low + high) / 2
            tried[middle] = self._measured(self._setting.random_steps(middle))[0]
            low, high = (middle, high) if tried[middle].share < share else (low, middle)
        best = min(sorted(tried), key=lambda rate: abs(tried[rate].share - share))
        return tried[best]

    def _measured(self, way: Way) -> tuple[Figures, float]:
        """Return what a way comes to, and the reflections of a text."""
        if way.name not in self._known:
            started = time.process_time()
            options = self._calibrated(way) if way.is_calibrated else {}
            anyio.run(partial(run, self._setting.config(way, options)))
            rows = read_rows(self._setting.out / folder_of(way.name))
            reflections = [count_reflections(steps_of(str(row["text"]))) for row in rows.values()]
            found = figures(rows, is_mentor_alone=way is MENTOR_ALONE)
            self._known[way.name] = found, sum(reflections) / len(rows)
            spent = time.process_time() - started
            print(f"{self._setting.out.name}: {way.name}: {spent:.1f} CPU s", file=sys.stderr)
        return self._known[way.name]

    def _calibration_folder(self, way: Way) -> Path:
        return self._setting.out / "calibrations" / folder_of(way.name)

    def _calibrated(self, way: Way) -> Mapping[str, object]:
        """Return the options that a calibration has found, now or before."""
        folder = self._calibration_folder(way)
        kept = folder / "options.json"
        if kept.exists():
            options: dict[str, object] = json.loads(kept.read_text())
            return options
        options_given = {**ONE_PHASE, **way.options}
        config = parse_config(
            {
                "pair": self._setting.pair,
                "recipe": {"use": way.recipe, **options_given},
                "problems": self._calibration_problems,
                "limit": self._setting.limit,
                "concurrency": self._setting.concurrency,
                "out": folder,
            },
            "study",
        )
        factory = find("recipes", way.recipe)
        calibrator = vars(factory)["calibrator"](**way.calibrator)
        assert isinstance(calibrator, Calibrator), "recipes that can be calibrated have one"
        plan = CalibrationPlan(Target("share", self._target), rounds=3)
        work: Callable[[], CalibrationReport] = partial(
            calibrate,  # type: ignore[arg-type]  # a coroutine function
            config,
            RecipeFamily(factory, options_given),
            calibrator,
            plan,
        )
        report = anyio.run(work)  # type: ignore[arg-type]  # as above
        replace_file(kept, json.dumps(dict(report.options)).encode())
        return report.options


def _as_rows(found: Mapping[str, float]) -> Sequence[tuple[str, str]]:
    return [(name, f"{value:.3f}") for name, value in found.items()]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=Path, default=LAB_FOLDER / "problems.jsonl")
    parser.add_argument("--calibration-problems", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="only the first so many problems of either")
    parser.add_argument("--out", type=Path, default=Path("runs/study-steps"))
    parser.add_argument(
        "--generators",
        nargs="+",
        default=["shipped=lab/generator"],
        help="NAME=FOLDER, each studied alone",
    )
    parser.add_argument(
        "--ways",
        nargs="+",
        default=(),
        help="only these, beside both models alone and the oracle",
    )
    parser.add_argument(
        "--latency", type=int, default=0, help="also time so many problems, one at a time"
    )
    parser.add_argument("--vector", type=Path, help="a folder of `collab extract steering`")
    parser.add_argument("--target", type=float, default=0.2, help="mentor share")
    parser.add_argument("--concurrency", type=int, default=100, help="problems in work at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
