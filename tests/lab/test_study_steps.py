"""The study by steps: labels come from the truth, fits from other problems, cells are runs."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.examples import load_lab

from collab.calibrating.steps import SignalledStep, SignalledText

pytest.importorskip("torch")
pytest.importorskip("transformers")

load_lab("task")
load_lab("grading")
oracle = load_lab("step_oracle")
signals = load_lab("step_signals")
task = load_lab("task")

PROMPT = "Mod 10: s = 3, z = s * 9, y = z - 8. What is y?\n\n"


def text(*steps: str, problem: str = "p") -> SignalledText:
    return SignalledText(problem, None, tuple(SignalledStep(one, (0.1,), (-0.1,)) for one in steps))


@pytest.mark.parametrize(
    ("step", "is_wrong"),
    [
        ("So z = s * 9 = 3 * 9 = 7.\n\n", False),
        ("So z = s * 9 = 3 * 9 = 8.\n\n", True),
        ("So q = s * 9 = 3 * 9 = 7.\n\n", True),
        ("Wait, check z = s * 9 = 3 * 9 = 8. Correct.\n\n", False),
        ("Now find y.\n\n", False),
        (r"The answer is \boxed{9}.", False),
        (r"The answer is \boxed{8}.", True),
    ],
)
def test_the_oracle_knows_wrong_values_and_wrong_answers(step: str, is_wrong: bool) -> None:
    assert oracle.is_wrong(task.parse_problem(PROMPT), step) is is_wrong


def test_only_the_first_wrong_step_is_bad_and_what_follows_is_not_labelled() -> None:
    found = signals.labelled(
        text(
            "So z = s * 9 = 3 * 9 = 7.\n\n",
            "So y = z - 8 = 7 - 8 = 8.\n\n",
            r"The answer is \boxed{8}.",
        ),
        PROMPT,
    )

    assert [step.is_bad for step in found.steps] == [False, True, None]


def test_a_fit_tells_what_its_signals_tell_and_no_more() -> None:
    rng = random.Random(1)
    texts: list[SignalledText] = []
    found: list[Mapping[str, Sequence[float | None]]] = []
    for number in range(200):
        bad = [rng.random() < 0.3 for _ in range(3)]
        steps = tuple(SignalledStep("x", (), (), is_bad=one) for one in bad)
        texts.append(SignalledText(str(number), None, steps))
        noise: list[float | None] = [rng.random() for _ in bad]
        found.append(
            {
                "step index": noise,
                "entropy, first token": [one + rng.random() for one in bad],
                "entropy, mean": noise,
                "low rank": [None, None, None],
                "cosine to the step before": noise,
            }
        )

    fits = signals.fits(texts, found)

    assert fits["index, entropy"] > 0.95
    assert 0.4 < fits["index"] < 0.6
    assert 0.4 < fits["index, rank"] < 0.6


@pytest.mark.slow
def test_ways_are_runs_beside_random_steps_at_equal_share(tmp_path: Path) -> None:
    load_lab("study_figures")
    load_lab("study_cells")
    load_lab("study_matching")
    load_lab("study_tables")
    ways = load_lab("step_ways")
    study = load_lab("study_steps")
    setting = ways.StepSetting(
        generator="lab/generator",
        problems=study.LAB_FOLDER / "problems.jsonl",
        limit=6,
        out=tmp_path,
        concurrency=6,
    )
    one = study.Study(setting, study.LAB_FOLDER / "problems.jsonl", 0.2)

    line = one._line(ways.THE_ORACLE)

    assert line[0] == "oracle: wrong steps redone"
    assert (tmp_path / "oracle-wrong-steps-redone/results.jsonl").exists()
    assert len((tmp_path / "random-steps-1/results.jsonl").read_text().splitlines()) == 6
    control, _, at = line[4].partition(" at ")
    assert control.endswith("%")
    assert at
