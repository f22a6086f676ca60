"""`collab extract steering`: from a generator to a vector that steers it, and what is refused."""

import json
import signal
from pathlib import Path

import pytest
from support.cli_helpers import invoke, read_until, start
from support.steering_fakes import STEPPER, stepper_config

from collab.extraction.cards import VectorCard

ROOT = Path(__file__).parents[2]
LAB_PROBLEMS = ROOT / "backends/collab_backends/lab/problems.jsonl"
QUESTION = "Mod 10: m = 8, c = m - 2, o = c * 9, i = o * 7. What is i?\n\n"
# By reference: an installed name may be that of another copy of the project.
VECTOR = "collab_policies.steering_vectors.vector:Vector"
SEAL = "collab_policies.seal:Seal"
LAB = ("extract", "steering", VECTOR, "--problems", LAB_PROBLEMS)
SHORT = ("--set", "max_answer_tokens=160", "--set", "extractor.thinking_end=null")
# With a temperature there are enough steps that check others.
WARM = ("--set", "sampling.temperature=0.8")


def step(folder: Path, *more: object) -> tuple[object, ...]:
    """Return the arguments of an extraction from the stepper."""
    stepper_config(folder)
    pair = folder / "pair.yaml"
    pair.write_text(f"generator: {{use: '{STEPPER}'}}\n")
    given = ("--pair", pair, "--problems", folder / "problems.jsonl", "--out", folder / "out")
    return ("extract", "steering", VECTOR, *given, *more)


@pytest.mark.slow
def test_a_vector_is_extracted_from_the_lab_generator_and_steers_it_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (*LAB, *SHORT, *WARM, "--out", out, "--limit", 60, "--concurrency", 16)

    extracted = invoke(*command, "--json")
    ranked = invoke(*command, "--select", "rank", "--percentile", 50)
    solve = ("solve", QUESTION, "--recipe", SEAL, "--json", "--set", f"recipe.path={out}")
    one_phase = ("--set", "recipe.thinking_end=null", "--set", "recipe.max_answer_tokens=100")
    plain, pushed = (
        invoke(*solve, *one_phase, "--set", f"recipe.scale={scale}") for scale in (0, -3)
    )
    refused = invoke(*solve, *one_phase, "--set", "generator.model=lab/mentor")

    assert extracted.exit_code == 0, extracted.output
    told = json.loads(extracted.stdout)
    assert (told["steerer"], told["generator"]["name"]) == ("vector", "lab/generator")
    # Of 2 blocks, round(0.72 * 2) = 1.
    assert (told["layer"], told["blocks"], told["hidden_size"], told["scale"]) == (1, 2, 64, -1.0)
    assert told["measures"]["execution"] > told["measures"]["reflection"] > 0
    # The generator is not run again for a vector that is made otherwise.
    assert (ranked.exit_code, ranked.stderr) == (0, "texts: 60/60 finished before\n")
    assert "mean(execution of high rank) - mean(reflection and transition)" in ranked.stdout
    card = VectorCard.model_validate_json((out / "card.json").read_text())
    assert (card.scale, card.extractor["percentile"]) == (1.0, 50)
    assert json.loads(plain.stdout)["text"] != json.loads(pushed.stdout)["text"]
    assert refused.exit_code == 2
    assert "Vector needs steering (64 numbers, found 96) of the generator" in refused.stderr


@pytest.mark.slow
def test_steps_that_come_again_are_told_from_those_that_do_not(tmp_path: Path) -> None:
    stable = ("--select", "stable", "--set", "extractor.rewrites=2")
    # What a step does shows in its first words here.
    short = ("--set", "extractor.rewrite_tokens=4", "--set", "extractor.stable_share=0.3")

    shown = invoke(
        *(*LAB, *SHORT, *WARM, *stable, *short, "--out", tmp_path / "out"),
        *("--limit", 40, "--concurrency", 16),
    )

    assert shown.exit_code == 0, shown.output
    assert "applied with -1; stable steps; scale -1" in shown.stdout
    assert "same again" in shown.stdout


def test_what_was_found_is_printed_and_a_missing_kind_is_warned_of(tmp_path: Path) -> None:
    shown = invoke(*step(tmp_path, "--limit", 1))

    assert shown.exit_code == 0, shown.output
    assert "2 steps of 0 right and 1 wrong texts of stepper" in shown.stdout
    assert "layer             3 of 4 blocks, 2 numbers" in shown.stdout
    assert "cosine with seal" in shown.stdout
    assert "warning: there is no right text among 1" in shown.stderr


def test_it_ends_when_there_are_enough_texts(tmp_path: Path) -> None:
    shown = invoke(*step(tmp_path, "--texts", 1, "--concurrency", 1))

    assert "4 steps of 1 right and 1 wrong texts" in shown.stdout
    # Perhaps one more: the next begins while the last is graded and kept.
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) <= 3


def test_too_few_steps_are_refused_and_kept(tmp_path: Path) -> None:
    shown = invoke(*step(tmp_path, "--set", "extractor.keywords={reflection_starts: [hm]}"))

    assert shown.exit_code == 2
    assert "no vector can be made of 16 steps (16 execution, 0 reflection, 0" in shown.stderr
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--select", "best"), "extractor of '{}': select: Input should be 'all', 'stable'"),
        (("--percentile", 100), "percentile: Input should be less than 100"),
        (("--layer", 9), "layer 9 is out of range; this model has 4 blocks"),
        (("--select", "stable"), "written again without sampling, every step is the same"),
        (("--set", "extractor.lyer=1"), "is not an option of the extractor; write extractor.KEY="),
        (("--unit", "word"), "extraction reads steps, not units of the kind 'word'"),
    ],
)
def test_what_does_not_fit_is_told(more: tuple[object, ...], told: str, tmp_path: Path) -> None:
    shown = invoke(*step(tmp_path, *more))

    assert shown.exit_code == 2
    assert told.format(VECTOR) in shown.stderr


def test_a_steerer_without_an_extractor_is_told(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text("from collab.protocols import Steerer\nclass Own(Steerer):\n    pass\n")

    shown = invoke("extract", "steering", f"{plugin}:Own", "--out", tmp_path)

    assert shown.exit_code == 2
    assert "cannot be extracted; those that can: " in shown.stderr


def test_a_remote_generator_is_refused_with_what_would_work(tmp_path: Path) -> None:
    adder = f"{ROOT / 'tests/support/run_fakes.py'}:Adder"
    stepper_config(tmp_path)
    pair = tmp_path / "pair.yaml"
    pair.write_text(f"generator: '{adder}'\n")

    shown = invoke(
        *("extract", "steering", VECTOR, "--pair", pair, "--out", tmp_path / "out"),
        *("--problems", tmp_path / "problems.jsonl"),
    )

    assert shown.exit_code == 2
    assert "needs hidden_states of the generator" in shown.stderr
    assert "`local` can do all of it" in shown.stderr


def test_steerers_are_listed() -> None:
    assert invoke("ls", "steerers").exit_code == 0


@pytest.mark.slow
def test_interrupted_it_says_what_is_kept_and_goes_on(tmp_path: Path) -> None:
    command = (*LAB, *SHORT, "--out", tmp_path, "--limit", 8)

    process = start(*command, "--concurrency", 1)
    read_until(process.stderr, "texts: 2/8")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    kept = (tmp_path / "results.jsonl").read_text().splitlines()
    again = invoke(*command)

    assert process.returncode == 130
    assert f"of 8 problems are finished and on disk in {tmp_path}; run the same" in errors
    assert 2 <= len(kept) < 8
    assert f"texts: {len(kept)}/8 finished before" in again.stderr
