"""Prices of a run: which wins, what a wrong file says, what is recorded."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import genai_prices
import pytest
import yaml
from support.run_fakes import ADDER, adder_config, rows_by_id

from collab.errors import ConfigError
from collab.runs.assembly import build_backends, build_controller
from collab.runs.config import RunConfig
from collab.runs.config_files import parse_config
from collab.runs.prices import prices_of
from collab.runs.runner import run
from collab.usage import Price

DEAR = {"prompt": 2_000_000, "cached": 500_000, "completion": 8_000_000}
GENERATOR: dict[str, Any] = {"use": ADDER, "error": 1, "model": "small"}
MENTOR: dict[str, Any] = {"use": ADDER, "model": "large"}


def write_prices(folder: Path, models: object, version: object = "2026-11") -> Path:
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump({"version": version, "models": models}))
    return path


def priced_config(folder: Path, prices: object, **values: Any) -> RunConfig:
    pair = {"generator": GENERATOR, "mentor": MENTOR}
    return adder_config(folder, **{"pair": pair, "prices": str(prices), **values})


def test_models_of_the_file_get_its_prices(tmp_path: Path) -> None:
    path = write_prices(tmp_path, {"large": DEAR, "somebody-else's": DEAR})

    backends = build_backends(priced_config(tmp_path, path))

    assert backends["mentor"].price == Price(**DEAR)
    assert backends["generator"].price is None


def test_a_backends_own_price_wins(tmp_path: Path) -> None:
    path = write_prices(tmp_path, {"large": DEAR})
    own = {"prompt": 1, "completion": 1}

    config = priced_config(
        tmp_path, path, pair={"generator": GENERATOR, "mentor": {**MENTOR, "price": own}}
    )

    assert build_backends(config)["mentor"].price == Price(prompt=1, completion=1)
    assert prices_of(config)["mentor"].source.name == "configuration"


def test_a_file_may_be_json_and_its_version_a_date(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"version": 3, "models": {"large": DEAR}}))
    dated = tmp_path / "dated.yaml"
    dated.write_text("version: 2026-11-20\nmodels: {large: {prompt: 1, completion: 2}}\n")

    sources = [
        prices_of(priced_config(tmp_path, one))["mentor"].source.version for one in (path, dated)
    ]

    assert sources == ["3", "2026-11-20"]


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (
            {"large": {"prompt": 1, "complet": 2}},
            r"model 'large': the key 'completion' is missing; "
            r"model 'large': unknown key 'complet'; did you mean 'completion'\? "
            r"keys: cached, completion, prompt; a price file is `version: TEXT` and `models:",
        ),
        (
            {"a/b-7": {"prompt": -1, "completion": 2}},
            r"model 'a/b-7': prompt: Input should be greater than or equal to 0 \(found -1\)",
        ),
        (
            {"large": {"prompt": "cheap", "completion": 2}},
            r"model 'large': prompt: Input should be a valid number.* \(found 'cheap'\)",
        ),
        (
            {"large": {"prompt": True, "completion": 2}},
            r"model 'large': prompt: expected a number \(found True\)",
        ),
        ({"large": 3}, r"model 'large': Input should be .*\(found 3\)"),
        ([], r"models: Input should be a valid dictionary \(found \[\]\)"),
    ],
)
def test_a_mistake_is_named_with_its_file_model_and_key(
    models: object, told: str, tmp_path: Path
) -> None:
    path = write_prices(tmp_path, models)

    with pytest.raises(ConfigError, match=rf"prices\.yaml: {told}"):
        build_controller(priced_config(tmp_path, path))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("models: {}", "the key 'version' is missing; a price file is `version: TEXT`"),
        (
            "version: 1\nmodel: {}",
            r"unknown key 'model'; did you mean 'models'\? keys: models, ver",
        ),
        ("version: 1\nmodels: {m: {prompt: 1}, m: {prompt: 2}}", "the key 'm' is given twice"),
        ("[1]", "expected keys and values, found list"),
    ],
)
def test_a_file_of_another_shape_is_refused(content: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(content)

    with pytest.raises(ConfigError, match=told):
        build_controller(priced_config(tmp_path, path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the price file '.*none\.yaml'"):
        build_controller(priced_config(tmp_path, tmp_path / "none.yaml"))


def test_a_bound_on_cost_still_needs_a_price_of_everybody(tmp_path: Path) -> None:
    path = write_prices(tmp_path, {"large": DEAR})
    config = priced_config(tmp_path, path, run_budget={"max_cost_usd": 1})

    told = r"while the generator has no price; .* a price file \(`prices` is '.*prices\.yaml'\)"
    with pytest.raises(ConfigError, match=told):
        build_controller(config)


async def test_all_records_of_a_run_have_the_same_costs(tmp_path: Path) -> None:
    path = write_prices(tmp_path, {"small": {"prompt": 0.3, "completion": 0.9}, "large": DEAR})

    outcome = await run(priced_config(tmp_path, path))

    lines = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()
    calls = [call for line in lines for call in json.loads(line)["calls"]]
    rows = rows_by_id(tmp_path / "out").values()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    spent = sum(call["cost_usd"] for call in calls)
    assert spent > 0
    assert {call["role"] for call in calls} == {"generator", "mentor"}
    assert spent == pytest.approx(sum(row["cost_usd"] for row in rows))
    assert spent == pytest.approx(
        sum(usage["cost_usd"] for row in rows for usage in row["usage"].values())
    )
    assert spent == pytest.approx(outcome.summary.cost_usd)
    assert spent == pytest.approx(summary["cost_usd"])
    for call in calls:
        price = Price(prompt=0.3, completion=0.9) if call["role"] == "generator" else Price(**DEAR)
        assert call["cost_usd"] == price.of(
            prompt=call["prompt_tokens"],
            cached=call["cached_tokens"],
            completion=call["completion_tokens"],
        )


async def test_what_priced_a_run_is_recorded_also_when_it_changed(tmp_path: Path) -> None:
    path = write_prices(tmp_path, {"large": DEAR})
    digests = [hashlib.sha256(path.read_bytes()).hexdigest()]
    await run(priced_config(tmp_path, path, limit=2))
    write_prices(tmp_path, {"large": DEAR}, version="2026-12")
    digests.append(hashlib.sha256(path.read_bytes()).hexdigest())

    outcome = await run(priced_config(tmp_path, path))

    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [one["prices"] for one in config["versions"]] == [
        {"mentor": {"name": str(path), "version": version, "sha256": digest}}
        for version, digest in zip(("2026-11", "2026-12"), digests, strict=True)
    ]
    assert outcome.pending == 0
    assert outcome.summary.priced_by == {
        "mentor": [
            f"{path} 2026-11 (sha256 {digests[0][:12]})",
            f"{path} 2026-12 (sha256 {digests[1][:12]})",
        ]
    }
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == outcome.summary.as_json()


async def test_a_directory_from_before_prices_goes_on(tmp_path: Path) -> None:
    await run(adder_config(tmp_path, limit=2))
    path = tmp_path / "out" / "config.json"
    assert "prices" not in path.read_text()

    outcome = await run(adder_config(tmp_path))

    assert (outcome.worked_on, outcome.summary.priced_by) == (10, {})


def served(model: str, base_url: object, **options: object) -> RunConfig:
    generator = {"use": "openai", "model": model, "base_url": base_url, **options}
    return parse_config({"pair": {"generator": generator}, "prices": "genai-prices"}, "test")


def test_known_providers_are_priced_by_their_url() -> None:
    config = served("gpt-4o", ["https://api.openai.com/v1"])

    priced = prices_of(config)["generator"]

    known = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=10**6), "gpt-4o", provider_id="openai"
    )
    assert priced.price is not None
    assert priced.price.prompt == float(known.input_price)
    assert priced.price.cached is not None
    assert 0 < priced.price.cached < priced.price.prompt < priced.price.completion
    assert str(priced.source) == f"genai-prices {genai_prices.__version__}"
    assert build_backends(config)["generator"].price == priced.price


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("gpt-4o", "http://127.0.0.1:8000/v1"),  # somebody's own server
        ("no-such-model", "https://api.openai.com/v1"),
    ],
)
def test_what_no_provider_is_known_to_sell_has_no_price(model: str, url: str) -> None:
    assert prices_of(served(model, url)) == {}


def test_prices_in_tiers_are_those_of_the_first() -> None:
    priced = prices_of(served("claude-sonnet-4-5", "https://api.anthropic.com/v1"))["generator"]

    assert priced.price is not None
    assert priced.price.prompt < priced.price.completion


def test_a_local_model_is_not_priced_by_its_name() -> None:
    pair = {"generator": {"use": "local", "model": "gpt-4o"}}

    assert prices_of(parse_config({"pair": pair, "prices": "genai-prices"}, "test")) == {}


def test_a_missing_package_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, "genai_prices", None)

    with pytest.raises(ConfigError, match=r"not installed; install the extra `prices` of collab-r"):
        prices_of(served("gpt-4o", "https://api.openai.com/v1"))
