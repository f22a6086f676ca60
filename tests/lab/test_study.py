"""The study: its tables say what the rows say, its cells are ordinary runs, and it goes on."""

import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.examples import load_lab

from collab.statistics import wilson_interval

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

cells = load_lab("study_cells")
figures = load_lab("study_figures")
matching = load_lab("study_matching")
tables = load_lab("study_tables")
study = load_lab("study_mentorcollab")

LIMIT = 6
PRICE = 2.0
RATE = 0.5

Measure = Callable[[Any], Any]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


def measuring(out: Path) -> tuple[Measure, list[str]]:
    worked = list[str]()
    setting = cells.Setting(
        problems=study.LAB_FOLDER / "problems.jsonl",
        limit=LIMIT,
        out=out,
        concurrency=LIMIT,
        generator="lab/generator",
        mentor="lab/mentor",
    )
    return study.Measuring(setting, worked.append), worked


@pytest.fixture(scope="module")
def printed(out: Path) -> str:
    measure, _ = measuring(out)
    chosen = cells.rate_cells(["always-mentor", "coin"], [RATE])
    text, errors = study.study({"At one rate": chosen}, measure, PRICE)
    assert errors == 0
    return str(text)


def table(printed: str, number: int) -> dict[str, list[str]]:
    """Return the lines of one of the tables, by their first cell."""
    blocks = [block for block in printed.split("\n\n") if block.startswith("|")]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in blocks[number].split("\n")
    ]
    return {line[0]: line[1:] for line in lines[2:]}


def rows(out: Path, folder: str) -> list[Any]:
    lines = (out / folder / "results.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda row: row["id"])


def tokens_of(row: Any, role: str) -> tuple[int, int]:
    used = row["usage"].get(role) or dict.fromkeys(
        ("prompt_tokens", "cached_tokens", "completion_tokens"), 0
    )
    return used["prompt_tokens"] - used["cached_tokens"], used["completion_tokens"]


def fair_coin_p(first: list[bool], second: list[bool]) -> float:
    """Return how often as many fair coins as problems differ are at least as uneven as these."""
    wins = [one for one, other in zip(first, second, strict=True) if one != other]
    uneven = abs(2 * sum(wins) - len(wins))
    throws = list(product((0, 1), repeat=len(wins)))
    return sum(abs(2 * sum(one) - len(wins)) >= uneven for one in throws) / len(throws)


def test_the_table_of_accuracies_says_what_the_rows_say(out: Path, printed: str) -> None:
    alone = [row["outcome"] == "correct" for row in rows(out, "generator-alone")]
    found = rows(out, "coin-rate-0.5-segment-16")
    right = [row["outcome"] == "correct" for row in found]
    spans = [span for row in found for span in row["spans"]]
    mentors = sum(span["tokens"] for span in spans if span["author"] == "mentor")
    low, high = (100 * bound for bound in wilson_interval(sum(right), LIMIT))

    rate, segment, accuracy, share, p, _, _ = table(printed, 0)["`coin`"]

    assert (rate, segment) == ("0.5", "16")
    assert accuracy == f"{100 * sum(right) / LIMIT:.1f} % ({low:.1f} to {high:.1f})"
    assert share == f"{100 * mentors / sum(span['tokens'] for span in spans):.1f} %"
    assert p == tables.p_value(fair_coin_p(right, alone))


def test_the_table_of_costs_says_what_the_rows_say(out: Path, printed: str) -> None:
    found = rows(out, "coin-rate-0.5-segment-16")
    consulted = sum(one["decision"] == "consult" for row in found for one in row["decisions"])
    verdicts = [one for row in found for one in row["verdicts"]]
    agreed = sum(one["verifier"] == "Agreement" for one in verdicts)
    taken = sum(one["stands"] == "mentor" for one in verdicts)
    fed, decoded = (
        {role: sum(tokens_of(row, role)[part] for row in found) for role in ("generator", "mentor")}
        for part in (0, 1)
    )
    cost = fed["generator"] + decoded["generator"] + PRICE * (fed["mentor"] + decoded["mentor"])

    line = table(printed, 1)["`coin`"]

    assert line == [
        "0.5",
        "16",
        f"{consulted / LIMIT:.2f}",
        f"{100 * agreed / consulted:.1f} %",
        f"{taken} of {len(verdicts) - agreed}",
        f"{fed['generator'] / LIMIT:.1f} + {decoded['generator'] / LIMIT:.1f}",
        f"{fed['mentor'] / LIMIT:.1f} + {decoded['mentor'] / LIMIT:.1f}",
        f"{cost / LIMIT:.0f}",
    ]


def test_always_mentor_at_equal_share_is_one_of_the_runs(out: Path, printed: str) -> None:
    at, p = table(printed, 0)["`coin`"][-2:]
    rate, share, accuracy = at.replace(" (!)", "").split(", ")
    folder = "generator-alone" if rate == "0" else f"always-mentor-rate-{rate}-segment-16"
    right = [row["outcome"] == "correct" for row in rows(out, folder)]
    coin = [row["outcome"] == "correct" for row in rows(out, "coin-rate-0.5-segment-16")]

    assert accuracy == f"{100 * sum(right) / LIMIT:.1f} %"
    assert p == tables.p_value(fair_coin_p(coin, right))
    assert share.endswith(" %")


def test_a_mentor_alone_counts_as_the_mentor(printed: str) -> None:
    assert table(printed, 0)["mentor alone"][3] == "100.0 %"
    assert table(printed, 1)["mentor alone"][5] == "0.0 + 0.0"


def test_what_is_finished_is_not_run_again_and_the_tables_are_the_same(
    out: Path, printed: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/results.jsonl")}
    measure, worked = measuring(out)

    text, _ = study.study(
        {"At one rate": cells.rate_cells(["always-mentor", "coin"], [RATE])}, measure, PRICE
    )

    assert text == printed
    assert len(worked) == len(before)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_cell_is_an_ordinary_run_that_names_its_configuration(out: Path, printed: str) -> None:
    config = json.loads((out / "coin-rate-0.5-segment-16" / "config.json").read_text())

    assert printed
    assert config["policy"] == {"use": "random", "rate": RATE}
    assert [one["use"] for one in config["verifiers"]] == ["agreement", "coin"]
    assert config["repeat_limit"] == 3


def fake(share: float) -> Any:
    work = figures.Work()
    return figures.Figures(
        is_right={"p": True},
        errors=0,
        share=share,
        consultations=0,
        agreed=0,
        judged=0,
        taken=0,
        generator=work,
        mentor=work,
    )


def test_an_equal_share_is_searched_by_halving() -> None:
    measured_rates = list[float]()

    def measure(cell: Any) -> Any:
        measured_rates.append(cell.rate)
        return fake(cell.rate * 0.4)

    match = matching.matched(cells.Cell("coin", 0.5, 8), 0.152, measure)

    # Shares 0 and 0.4; 0.2 is above, 0.1 below, 0.15 is within half a point.
    assert measured_rates == [0.0, 1.0, 0.5, 0.25, 0.375]
    assert (match.rate, match.is_near) == (0.375, True)


def test_a_share_that_no_rate_reaches_is_marked() -> None:
    match = matching.matched(cells.Cell("coin", 0.5), 0.5, lambda cell: fake(cell.rate * 0.4))

    assert (match.rate, match.is_near) == (1.0, False)


def test_other_problems_cannot_be_compared() -> None:
    one, other = fake(0.0), figures.figures({})

    with pytest.raises(ValueError, match="1 and 0 problems are not the same; run both cells with"):
        figures.mcnemar(one, other)


def command_line(out: Path, *verifiers: str) -> list[str]:
    given = f"study --limit {LIMIT} --out {out} --rates {RATE} --without-segments --mentor-price 2"
    return [*given.split(), "--verifiers", *verifiers]


def test_the_command_prints_the_tables_and_keeps_them(
    out: Path, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", command_line(out, "always-mentor", "coin"))

    code = study.main()

    assert code == 0
    assert capsys.readouterr().out == (out / "tables.md").read_text()
    assert printed.split("\n\n", 1)[1] in (out / "tables.md").read_text()


def test_an_unknown_verifier_is_refused_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", command_line(tmp_path, "dice"))

    code = study.main()

    assert code == 2
    assert "no verifier 'dice' in this study; it has: always-mentor, " in capsys.readouterr().err
