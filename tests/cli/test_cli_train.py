"""`collab train verifier`: from a pair to a verifier that works on it, and what is refused."""

import json
import signal
from pathlib import Path

import pytest
from support.cli_helpers import invoke, read_until, start
from support.training_fakes import GUESSER, guesser_config

from collab.training.cards import Card

LAB_PROBLEMS = Path(__file__).parents[2] / "backends/collab_backends/lab/problems.jsonl"
SAMPLED = ("--set", "recipe.sampling.temperature=1.0", "--samples", 2, "--set", "recipe.rate=1")
WARM = ("--set", "sampling.temperature=1.0")
QUESTION = "Mod 10: m = 8, c = m - 2, o = c * 9, i = o * 7. What is i?\n\n"


def guess(folder: Path, *more: object) -> tuple[object, ...]:
    """Return the arguments of a training with the pair of guessers."""
    guesser_config(folder, problems=8)
    pair = folder / "pair.yaml"
    pair.write_text(
        f"generator: {{use: '{GUESSER}', even: true}}\nmentor: {{use: '{GUESSER}', even: false}}\n"
    )
    given = ("--pair", pair, "--policy", "always", "--problems", folder / "problems.jsonl")
    return ("train", "verifier", "mlp", *given, "--out", folder / "out", *more)


@pytest.mark.slow
def test_a_verifier_is_trained_on_the_lab_pair_and_used_there_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("train", "verifier", "--problems", LAB_PROBLEMS, "--out", out, *SAMPLED)
    options = ("--limit", 60, "--set", "trainer.position=segments", "--held-out", 0.4)

    trained = invoke(*command, *options, "--json", "--concurrency", 16)
    again = invoke(*command, *options, "--set", "trainer.epochs=2")
    used = ("solve", QUESTION, "--policy", "random", "--set", "policy.rate=1", "--json", *WARM)
    cascade = ("--verifier", "agreement", "--verifier", "mlp", "--set", f"verifiers.1.path={out}")
    solved = invoke(*used, *cascade)
    refused = invoke(*used, *cascade, "--set", "generator.model=lab/mentor")

    assert trained.exit_code == 0, trained.output
    card = Card.model_validate_json((out / "card.json").read_text())
    told = json.loads(trained.stdout)
    assert (told["verifier"], told["generator"]["name"]) == ("mlp", "lab/generator")
    assert told["mentors"] == {"mentor": "lab/mentor"}
    low, high = told["metrics"]["auroc_interval"]
    assert 0 <= low <= told["metrics"]["auroc"] <= high <= 1
    # What was collected is not collected again, and only training is done anew.
    assert (again.exit_code, again.stderr.splitlines()[0]) == (0, "branches: 60/60 finished before")
    assert "AUROC " in again.stdout
    assert card.training["epochs"] == 2
    verdicts = json.loads(solved.stdout)["verdicts"]
    assert any(one["why"] == "mlp" and 0 <= one["score"] <= 1 for one in verdicts)
    assert refused.exit_code == 2
    assert "Mlp needs hidden_states (64 numbers, found 96) of the generator" in refused.stderr


def test_too_few_branches_are_refused_and_kept(tmp_path: Path) -> None:
    shown = invoke(*guess(tmp_path))

    assert shown.exit_code == 2
    assert "error: no verifier can be trained on these branches" in shown.stderr
    assert f"is kept in {tmp_path / 'out'}" in shown.stderr
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 8


def test_a_verifier_that_cannot_be_trained_is_told(tmp_path: Path) -> None:
    shown = invoke("train", "verifier", "self-judge", "--out", tmp_path)

    assert shown.exit_code == 2
    assert "the verifier 'self-judge' cannot be trained; those that can: mlp" in shown.stderr


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("trainer.lyer=1", "is not an option of the trainer; write trainer.KEY=VALUE with one of"),
        ("trainer.position=top", "trainer of 'mlp': position: Input should be 'before-cue'"),
        ("trainer.epochs=0", "trainer of 'mlp': epochs: Input should be greater than or equal"),
        ("trainer.epochs=[", "'[' is not YAML"),
        ("recipe.rate=2", "rate: Input should be less than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_are_told(setting: str, told: str, tmp_path: Path) -> None:
    shown = invoke(
        *("train", "verifier", "--problems", LAB_PROBLEMS, "--out", tmp_path / "out"),
        *("--set", setting),
    )

    assert shown.exit_code == 2
    assert told in shown.stderr


def test_a_layer_that_is_not_there_ends_it_at_once(tmp_path: Path) -> None:
    shown = invoke(
        *("train", "verifier", "--problems", LAB_PROBLEMS, "--out", tmp_path / "out"),
        *("--limit", 40, "--set", "recipe.rate=1", "--set", "trainer.layer=9"),
    )

    assert shown.exit_code == 2
    assert "layer 9 is out of range; this model has" in shown.stderr


@pytest.mark.slow
def test_interrupted_it_says_what_is_kept_and_goes_on(tmp_path: Path) -> None:
    command = ("train", "verifier", "--problems", LAB_PROBLEMS, "--out", tmp_path, "--limit", 8)

    process = start(*command, "--concurrency", 1)
    read_until(process.stderr, "branches: 2/8")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    kept = (tmp_path / "results.jsonl").read_text().splitlines()
    again = invoke(*command)

    assert process.returncode == 130
    assert (
        f"of 8 problems are finished and on disk in {tmp_path}; run the same command again"
        in errors
    )
    assert 2 <= len(kept) < 8
    assert f"branches: {len(kept)}/8 finished before" in again.stderr
    assert (tmp_path / "results.jsonl").read_text().splitlines()[: len(kept)] == kept
