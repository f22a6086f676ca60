"""`collab calibrate` on the lab pair: recorded, resumed, aimed, used, refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collab.cli.app import app
from collab_backends.lab import LAB_FOLDER
from collab_policies.rank.calibration_file import load_calibration

PROBLEMS = LAB_FOLDER / "problems.jsonl"
ONE_PHASE = [
    *("--set", "recipe.thinking_end=null"),
    *("--set", "recipe.thinking_tokens=240"),
    *("--set", "recipe.step_tokens=64"),
]


def calibrate(out: Path, *arguments: str, recipe: str = "rankguide", limit: int = 40) -> str:
    """Run the command and return what it prints; its exit code has to be 0."""
    code, printed = called(out, *arguments, recipe=recipe, limit=limit)
    assert code == 0, printed
    return printed


def called(
    out: Path, *arguments: str, recipe: str = "rankguide", limit: int = 40
) -> tuple[int, str]:
    command = ["calibrate", "--recipe", recipe, "--problems", str(PROBLEMS), "--out", str(out)]
    bounds = ["--limit", str(limit), "--concurrency", "32"]
    result = CliRunner().invoke(app, [*command, *bounds, *ONE_PHASE, *arguments])
    return result.exit_code, result.output


@pytest.mark.slow
def test_thresholds_for_a_share_are_found_and_hold_for_the_recipe(tmp_path: Path) -> None:
    printed = calibrate(tmp_path / "c", "--target", "25%", "--json")
    found = json.loads(printed[printed.index("{") :])

    made = load_calibration(tmp_path / "c/calibration.json")
    assert abs(found["reached"] - 0.25) < 0.05
    assert found["options"] == {"calibration": str(tmp_path / "c/calibration.json")}
    assert made.fingerprint
    assert made.rank is not None
    assert made.rank.layers == (1,)
    assert set(made.thresholds) >= {"uncertainty", "overconfidence", "revalidation", "rank", "soft"}
    assert made.thresholds["revalidation"] <= made.thresholds["overconfidence"]

    # What is on disk is not done again, and another target needs no more of the generator alone.
    rows = (tmp_path / "c/alone/results.jsonl").read_bytes()
    calibrate(tmp_path / "c", "--target", "5%", "--rounds", "1")
    assert (tmp_path / "c/alone/results.jsonl").read_bytes() == rows
    bolder = load_calibration(tmp_path / "c/calibration.json")
    assert bolder.thresholds["uncertainty"] > made.thresholds["uncertainty"]
    assert bolder.scales == made.scales

    # Nor is the pair run again with thresholds that it was run with.
    answers = sorted((tmp_path / "c/pair").glob("*/results.jsonl"))
    before = [path.read_bytes() for path in answers]
    calibrate(tmp_path / "c", "--target", "25%")
    assert answers == sorted((tmp_path / "c/pair").glob("*/results.jsonl"))
    assert [path.read_bytes() for path in answers] == before


@pytest.mark.slow
def test_a_mentors_grades_label_steps_and_every_signal_is_compared(tmp_path: Path) -> None:
    arguments = ["--labels", "step-score", "--set", "labels.threshold=4.5", "--rounds", "1"]
    expected = ["--set", "labels.scoring=expected"]
    printed = calibrate(tmp_path / "c", "--json", *arguments, *expected, limit=25)
    found = json.loads(printed[printed.index("{") :])

    assert 0 < found["bad_steps"] < found["steps"]
    assert {"low rank", "entropy, first token", "step index", "n-gram overlap"} <= set(
        found["telling"]
    )
    for one in found["telling"].values():
        assert 0 <= one["interval"][0] <= one["auroc"] <= one["interval"][1] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "option"),
    [
        ("rankguide", "rule=soft"),
        ("rankguide", "reading=before"),
        ("tensor-rank", "repeat_limit=0"),
    ],
)
def test_every_rule_and_reading_can_be_calibrated(tmp_path: Path, recipe: str, option: str) -> None:
    arguments = ["--target", "30%", "--rounds", "1", "--set", f"recipe.{option}"]

    printed = calibrate(tmp_path / "c", *arguments, recipe=recipe, limit=10)

    assert f"--recipe {recipe} --set recipe.calibration=" in printed


@pytest.mark.slow
def test_a_threshold_of_entropy_is_one_option(tmp_path: Path) -> None:
    printed = calibrate(
        tmp_path / "c", "--target", "0.3", "--by", "steps", recipe="glimprouter", limit=20
    )

    assert "--recipe glimprouter --set recipe.threshold_nats=" in printed
    assert not (tmp_path / "c/calibration.json").exists()


@pytest.mark.parametrize(
    ("arguments", "recipe", "match"),
    [
        (["--target", "much"], "rankguide", "the target 'much' is not a number"),
        (["--target", "120%"], "rankguide", "a share of '120%': give one from 0% to 100%"),
        (["--by", "cost", "--target", "0"], "rankguide", "a cost of '0'"),
        ([], "specreason", "the recipe 'specreason' cannot be calibrated; those that can: glimp"),
        (["--labels", "nobody"], "rankguide", "no verifier 'nobody'"),
        (["--set", "labels.threshold=3"], "rankguide", "needs --labels"),
        (["--set", "calibrator.depth=3"], "rankguide", "not an option of the calibrator"),
        (["--set", "calibrator.layers=[7]"], "rankguide", "layer 7 is out of range"),
        (["--set", "calibrator.layers=[-1]"], "rankguide", "layers are counted from 0"),
        (["--set", "recipe.bogus=1"], "glimprouter", "bogus: Extra inputs are not permitted"),
        (["--set", "recipe.thinking_tokens=6"], "tensor-rank", "no text has enough steps"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, arguments: list[str], recipe: str, match: str
) -> None:
    code, printed = called(tmp_path / "c", *arguments, recipe=recipe, limit=2)

    assert code == 2
    assert match in " ".join(printed.split())
