"""`--config` of the commands that work into folders of their own."""

from pathlib import Path

import pytest
import yaml
from support.cli_helpers import invoke, write_config
from support.steering_fakes import STEPPER, stepper_config

from collab.cli.calibrate import _configuration
from collab.cli.flags import RunFlags
from collab.errors import ConfigError

VECTOR = "collab_policies.steering_vectors.vector:Vector"


def test_a_vector_is_extracted_with_pair_and_problems_of_a_run(tmp_path: Path) -> None:
    stepper_config(tmp_path)
    config = tmp_path / "run.yaml"
    values = {
        "pair": {"generator": {"use": STEPPER}},
        # Of a run with a mentor; the generator writes alone here.
        "policy": {"use": "random", "rate": 0.3},
        "verifiers": ["always-mentor"],
        "segment_tokens": 2,
        "problems": str(tmp_path / "problems.jsonl"),
        "out": str(tmp_path / "of-the-run"),
    }
    config.write_text(yaml.safe_dump(values))

    shown = invoke(
        *("extract", "steering", VECTOR, "--config", config, "--out", tmp_path / "out"),
        *("--limit", 1),
    )

    assert shown.exit_code == 0, shown.output
    assert "2 steps of 0 right and 1 wrong texts of stepper" in shown.stdout
    assert not (tmp_path / "of-the-run").exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("extract", "steering", VECTOR), "extraction needs out; give --out"),
        (("train", "verifier"), "training needs out; give --out"),
        (("calibrate", "--recipe", "glimprouter"), "calibration needs out; give --out"),
    ],
)
def test_the_run_directory_of_a_run_is_not_taken(
    command: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, unit="step")

    shown = invoke(*command, "--config", config)

    assert shown.exit_code == 2
    assert told in shown.stderr
    assert not (tmp_path / "out").exists()


def test_calibrating_a_policy_is_refused_with_what_to_name(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    with pytest.raises(ConfigError, match=r"gives a policy, and thresholds are those of a recipe"):
        _configuration(RunFlags(config=config), [])


def test_the_recipe_of_a_configuration_is_calibrated_and_else_rankguide(tmp_path: Path) -> None:
    named = tmp_path / "named.yaml"
    named.write_text("recipe: {use: glimprouter, top_k: 10}")

    config, recipe = _configuration(RunFlags(config=named), ["recipe.first_steps=1"])
    _, usual = _configuration(RunFlags(), [])
    _, other = _configuration(RunFlags(config=named, recipe="tensor-rank"), [])

    assert config.recipe == recipe
    assert (recipe.use, recipe.options) == ("glimprouter", {"top_k": 10, "first_steps": 1})
    assert usual.use == "rankguide"
    assert (other.use, other.options) == ("tensor-rank", {})
