"""`collab demo`, on the shipped pair of models."""

import json
from pathlib import Path

import pytest
from support.cli_helpers import invoke

import collab.cli.demo
from collab.cli.demo import lab_folder
from collab.errors import ConfigError


def test_the_shipped_problems_are_found() -> None:
    assert (lab_folder() / "problems.jsonl").is_file()


def test_a_missing_pair_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collab.cli.demo, "LAB_PACKAGE", "no_such_package.lab")

    with pytest.raises(ConfigError, match=r"the shipped pair 'no_such_package\.lab' is not inst"):
        lab_folder()


@pytest.mark.slow
def test_all_ways_are_compared_and_one_answer_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    kept = ("demo", "--limit", 6, "--out", tmp_path)
    compared = json.loads(invoke(*kept, "--json").stdout)

    shown = invoke(*kept)

    lines = shown.stdout.splitlines()
    ways = {one["way"]: one for one in compared["ways"]}
    assert shown.exit_code == 0
    assert lines[0].split()[:2] == ["6", "problems"]
    assert [line.split("  ")[0] for line in lines[1:7]] == list(ways)
    assert "Nothing here is simulated" in lines[-1]
    assert lines[-1].endswith("MODEL_CARD.md")
    alone, mentor = ways["generator alone"], ways["mentor alone"]
    assert (alone["mentor_share"], alone["mentor_tokens"]) == (0.0, 0)
    assert (mentor["mentor_share"], mentor["generator_tokens"]) == (1.0, 0)
    # A mentor's token counts as ten of the generator's.
    assert alone["cost_at_1_to_10"] == alone["generator_tokens"]
    assert mentor["cost_at_1_to_10"] == 10 * mentor["mentor_tokens"]
    assert 0.0 < ways["random words to the mentor"]["mentor_share"] < 1.0
    assert compared["shown"]["prompt"].strip() in shown.stdout
