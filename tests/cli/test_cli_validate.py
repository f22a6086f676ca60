"""`collab validate`."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.cli_helpers import invoke, write_config
from support.run_fakes import ADDER

from collab.capabilities import Need
from collab.protocols import Verifier


class Demanding(Verifier):
    """Needs a participant that no pair has."""

    @property
    def needs(self) -> Sequence[Need]:
        return (Need("oracle", "judge"),)


def test_a_fine_configuration_is_described(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    shown = invoke("validate", config)

    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"{config}: keys, plug-ins and options are fine",
        "recipe random: RandomPositions, AlwaysMentor; participants: generator, mentor",
        f"{tmp_path / 'problems.jsonl'}: 12 problems, 0 broken lines",
    ]


def test_broken_lines_are_named_and_count_as_a_failure(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with (tmp_path / "problems.jsonl").open("a") as file:
        file.write('{"answer": 3}\n')

    shown = invoke("validate", config)

    assert shown.exit_code == 1
    assert "12 problems, 1 broken lines\n  line 13: prompt: Field required\n" in shown.stdout


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path, seeed=3))

    assert shown.exit_code == 2
    assert "run.yaml: unknown key 'seeed'; did you mean 'seed'?" in shown.stderr
    assert "Traceback" not in shown.output


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path, policy={"use": "random", "rat": 1}))

    assert shown.exit_code == 2
    assert "policy 'random' has no option 'rat'; did you mean 'rate'?" in shown.stderr


def test_loading_matches_what_the_models_can_do(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path), "--load")

    assert shown.exit_code == 0
    assert "RandomPositions  to be asked  mentor  met" in shown.stdout
    assert shown.stdout.endswith("the models can do what the recipe needs\n")


def test_loading_lists_everything_that_is_missing(tmp_path: Path) -> None:
    demanding = f"{Path(__file__)}:Demanding"
    config = write_config(tmp_path, pair={"generator": ADDER}, verifiers=[demanding])

    shown = invoke("validate", config, "--load")

    assert shown.exit_code == 1
    assert "needs a participant 'mentor'; there are: generator" in " ".join(shown.stdout.split())
    assert "Demanding needs a participant 'oracle'; there are: generator" in shown.stdout
    assert "the recipe cannot run with these models" in shown.stdout


def test_what_is_missing_keeps_from_an_estimate(tmp_path: Path) -> None:
    shown = invoke("validate", write_config(tmp_path, pair={"generator": ADDER}), "--estimate")

    assert shown.exit_code == 1
    assert "no estimate  what is missing has to be put right first" in shown.stdout


def test_json_is_one_object_with_stable_keys(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    checked = json.loads(invoke("validate", config, "--json").stdout)
    loaded = json.loads(invoke("validate", config, "--load", "--json").stdout)

    assert list(checked) == list(loaded)
    assert checked == loaded | {"models": None}
    assert checked["is_fine"]
    assert checked["problems"]["problems"] == 12
    assert set(loaded["models"]) == {
        "participants",
        "needs",
        "tokenizers",
        "failures",
        "warnings",
        "notes",
    }


def test_a_mentor_whose_context_is_too_short_is_warned_of(tmp_path: Path) -> None:
    pair = {
        "generator": {"use": "local", "model": "lab/generator"},
        "mentor": {"use": "local", "model": "lab/mentor", "max_context_tokens": 40},
    }
    config = write_config(tmp_path, pair=pair)
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"prompt": "Mod 10: a = 8. " * 5}))

    shown = invoke("validate", config, "--load")

    told = " ".join(shown.stdout.split())
    assert shown.exit_code == 0
    assert "the mentor's context of 40 tokens is shorter than the longest prompt" in told
    assert "+ 512 (max_answer_tokens)" in told
    assert "shorter than the generator's 1,024" in told
    assert "have the same tokenizer" in told


@pytest.mark.slow
def test_an_estimate_needs_no_problems_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("pair: lab")

    shown = invoke("validate", path, "--estimate", "--limit", 2)
    found = json.loads(invoke("validate", path, "--estimate", "--limit", 1, "--json").stdout)

    assert shown.exit_code == 0
    assert "the shipped lab's problems" in " ".join(shown.stdout.split())
    assert "times the speed of the mentor alone" in shown.stdout
    assert "(95 % range " in shown.stdout
    assert "estimate from 2 problems" in shown.stdout
    # Two problems, answered both ways in two rounds at least.
    assert shown.stderr.splitlines()[0].startswith("estimate: 1/4 ")
    assert shown.stdout.isascii()
    assert max(map(len, shown.stdout.splitlines()[3:])) <= 80
    estimate = found["estimate"]
    terms = estimate["recipe"]["expected_s_per_1000_by_term"]
    assert sum(terms.values()) == pytest.approx(estimate["recipe"]["expected_s_per_1000"])
    assert estimate["expected_speed_up"] == pytest.approx(
        estimate["mentor_alone"]["expected_s_per_1000"] / sum(terms.values())
    )
    assert estimate["cost_ratio"] is None
    low, high = estimate["measured_speed_up_95"]
    assert 0 < low <= estimate["measured_speed_up"] <= high
    assert estimate["rounds"] in (2, 3, 4)
    assert estimate["verdict"] in ("faster", "slower", "unclear")
