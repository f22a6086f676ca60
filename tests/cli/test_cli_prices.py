"""`--prices` and `--max-cost`."""

import json
from pathlib import Path

from support.cli_helpers import invoke, write_config, write_pair
from support.run_fakes import ADDER


def write_prices(folder: Path) -> Path:
    path = folder / "prices.yaml"
    path.write_text("version: '7'\nmodels: {small: {prompt: 0, completion: 1000000}}\n")
    return path


def test_a_run_says_what_it_cost_by_which_prices(tmp_path: Path) -> None:
    pair = {"generator": {"use": ADDER, "error": 1, "model": "small"}}
    config = write_config(tmp_path, problems=2, pair=pair, policy="never", verifiers=[])
    prices = write_prices(tmp_path)

    shown = invoke("run", config, "--prices", prices)
    again = invoke("run", config, "--prices", prices, "--json")

    # A dollar per token, 10 tokens per answer.
    (line,) = [one for one in shown.stdout.splitlines() if one.startswith("cost")]
    assert line.startswith(f"cost          $20.000000, by the prices of generator: {prices} 7 (sha")
    summary = json.loads(again.stdout)
    assert summary["cost_usd"] == 20.0
    assert summary["priced_by"]["generator"][0].startswith(f"{prices} 7 (sha256 ")


def test_a_bound_on_cost_stops_cleanly_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    pair = {"generator": {"use": ADDER, "error": 1, "model": "small"}}
    config = write_config(tmp_path, pair=pair, policy="never", verifiers=[], concurrency=1)
    prices = ("--prices", write_prices(tmp_path))

    bounded = invoke("run", config, *prices, "--max-cost", 15, "--json")
    further = invoke("run", config, *prices, "--max-cost", 1000, "--json")

    summary = json.loads(bounded.stdout)
    assert (bounded.exit_code, summary["budget_reached"]) == (3, "max_cost_usd")
    # 10 dollars each: the bound is reached by the second; another may have begun by then.
    assert summary["worked_on"] in (2, 3)
    assert summary["cost_usd"] == 10.0 * summary["worked_on"]
    assert (further.exit_code, json.loads(further.stdout)["pending"]) == (0, 0)


def test_a_bound_on_cost_without_prices_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path, policy="never", verifiers=[])

    shown = invoke("run", config, "--max-cost", 1)

    assert shown.exit_code == 2
    assert "has no price" in shown.stderr
    assert "or name its model in a price file" in shown.stderr
    assert not (tmp_path / "out" / "config.json").exists()


def test_one_question_is_priced_too(tmp_path: Path) -> None:
    solve = (
        "solve",
        "2 + 3 = ",
        "--pair",
        write_pair(tmp_path, model="small"),
        "--policy",
        "never",
    )
    prices = ("--prices", write_prices(tmp_path))

    shown = invoke(*solve, *prices)
    row = json.loads(invoke(*solve, *prices, "--json").stdout)

    assert "$10.000000, by the prices of generator: " in shown.stdout.splitlines()[-1]
    assert row["cost_usd"] == 10.0
    assert list(row["priced_by"]) == ["generator"]


def test_a_wrong_price_file_is_told_before_anything_is_done(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("version: '1'\nmodels: {m: {prompt: 1, completion: -2}}\n")

    shown = invoke("run", write_config(tmp_path), "--prices", prices)

    assert shown.exit_code == 2
    assert f"{prices}: model 'm': completion: Input should be greater than" in shown.stderr
