"""Every example runs, outside the repository, as a user would run it."""

import json
import sys
from pathlib import Path

import pytest
from support.commands import run

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.slow
def test_the_async_api_in_30_lines(tmp_path: Path) -> None:
    output = run(sys.executable, str(EXAMPLES / "async_api.py"), cwd=tmp_path)

    assert "generator: " in output
    assert "mentor share " in output
    assert "q0 eos The answer is" in output


@pytest.mark.slow
def test_a_pair_takes_many_requests(tmp_path: Path) -> None:
    output = run(sys.executable, str(EXAMPLES / "pair.py"), cwd=tmp_path)

    names = [line.split(":")[0] for line in output.splitlines()[:3]]
    assert names == ["alone", "lookahead", "cosd"]
    assert "lookahead: eos, mentor share" in output
    assert "The answer is" in output.splitlines()[-1]


@pytest.mark.slow
def test_a_strategy_of_ones_own(tmp_path: Path) -> None:
    output = run(sys.executable, str(EXAMPLES / "strategy.py"), cwd=tmp_path)

    assert "The answer is" in output
    assert "eos Usage(calls=" in output


@pytest.mark.slow
def test_a_third_party_package_is_found_through_its_entry_point(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", str(site), str(EXAMPLES / "third_party"), cwd=tmp_path)

    listed = run(
        *(sys.executable, "-m", "collab", "ls", "policies", "--json"),
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )
    run(
        *(sys.executable, "-m", "collab", "run", "--pair", "lab", "--policy", "every-nth"),
        *("--set", "policy.n=8", "--verifier", "always-mentor", "--out", "run"),
        *("--problems", str(EXAMPLES / "problems.jsonl")),
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )

    run(
        *(sys.executable, "-m", "collab", "run", "--pair", "lab", "--strategy", "taking-turns"),
        *("--set", "strategy.mentor_steps=2", "--out", "turns"),
        *("--problems", str(EXAMPLES / "problems.jsonl")),
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )

    assert any(p["package"] == "collab-every-nth" for p in json.loads(listed))
    lines = (tmp_path / "turns/results.jsonl").read_text().splitlines()
    turns = [json.loads(line) for line in lines]
    assert all(row["error"] is None and 0 < row["mentor_share"] < 1 for row in turns)
    rows = [json.loads(line) for line in (tmp_path / "run/results.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == {"chain-1", "chain-2", "chain-3"}
    assert all(row["mentor_share"] > 0 for row in rows)


@pytest.mark.slow
def test_the_run_configuration_is_valid_and_runs(tmp_path: Path) -> None:
    config = str(EXAMPLES / "run.yaml")

    run(sys.executable, "-m", "collab", "validate", config, cwd=EXAMPLES.parent)
    run(
        *(sys.executable, "-m", "collab", "run", config, "--out", str(tmp_path / "run")),
        cwd=EXAMPLES.parent,
    )

    assert len((tmp_path / "run/results.jsonl").read_text().splitlines()) == 3


def test_the_hybrid_configuration_is_valid() -> None:
    output = run(sys.executable, "-m", "collab", "validate", "examples/hybrid.yaml", cwd=ROOT)

    assert "participants: generator, mentor" in output
