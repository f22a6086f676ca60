"""The problems of a collection."""

from pathlib import Path

from collab.errors import ConfigError, ProblemFileError, TrainingError
from collab.grading import grade
from collab.problems import Problem, read_problems
from collab.problems.sources import ProblemSource
from collab.runs.config import RunConfig


def ensured_places(config: RunConfig, purpose: str) -> tuple[ProblemSource, Path]:
    """Return where the problems are and where results go.

    Raises:
        ConfigError: One of them is not given; `purpose` says what needs it.
    """
    if config.problems is None or config.out is None:
        missing = "problems" if config.problems is None else "out"
        raise ConfigError(f"{purpose} needs {missing}; give --{missing}")
    return config.problems, config.out


def chosen_problems(config: RunConfig, source: ProblemSource) -> list[Problem]:
    """Return the problems that the configuration chooses, without broken lines.

    Raises:
        ProblemFileError: They cannot be read, or there is none.
    """
    lines = config.chosen(read_problems(source))
    problems = [one for one in lines if isinstance(one, Problem)]
    if not problems:
        raise ProblemFileError(f"there is no problem in {source}")
    return problems


def problems_with_answers(config: RunConfig, source: ProblemSource, why: str) -> list[Problem]:
    """Return the chosen problems whose right answers the grader can read.

    Args:
        config: Says how many, and how they are graded.
        source: Where they lie.
        why: What the right answers are needed for, to end the error with.

    Raises:
        ProblemFileError: They cannot be read.
        TrainingError: None has such an answer.
    """
    problems = chosen_problems(config, source)
    readable = [one for one in problems if _can_grade(one, config)]
    if not readable:
        raise TrainingError(
            f"none of the {len(problems)} problems in {source} has a right answer (the key "
            f"`answer`) that the grader {config.grader!r} can read, {why}"
        )
    return readable


def _can_grade(problem: Problem, config: RunConfig) -> bool:
    blank = grade("", reference=problem.answer, reason="eos", grader=config.grader)
    return blank.outcome not in ("ungraded", "ungradable")
