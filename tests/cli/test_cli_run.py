"""`collab run`: its output, its exit codes, and being killed in the middle."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli_helpers import invoke, read_until, start, write_config, write_pair
from support.run_fakes import OPENED_BEFORE_THE_GATE, rows_by_id, write_problems


def test_a_run_prints_its_summary_and_exits_with_zero(tmp_path: Path) -> None:
    shown = invoke("run", write_config(tmp_path, policy="always", segment_tokens=16))

    lines = shown.stdout.splitlines()
    assert shown.exit_code == 0
    assert lines[0] == "problems      12 finished, 0 pending"
    assert lines[1] == "outcomes      12 correct"
    # The lower bound of 12 of 12 is 12 / (12 + 3.84146) = 0.75751.
    assert lines[2] == "accuracy      100.0 % (75.8 to 100.0)"
    assert lines[3] == "mentor share  100.0 %"
    assert lines[-1].split()[:3] == ["mentor", "12", "120"]


def test_progress_goes_to_standard_error_line_by_line(tmp_path: Path) -> None:
    shown = invoke("run", write_config(tmp_path, problems=2, concurrency=1, policy="always"))

    assert shown.stderr.splitlines() == ["run: 1/2 p1 correct", "run: 2/2 p2 correct"]


def test_flags_alone_are_enough(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 3)

    shown = invoke(
        *("run", "--pair", write_pair(tmp_path), "--problems", problems, "--out", tmp_path / "out"),
        *("--policy", "random", "--verifier", "always-mentor", "--set", "policy.rate=1"),
        *("--unit", "token", "--seed", 3, "--limit", 2, "--concurrency", 1, "--json"),
    )

    summary = json.loads(shown.stdout)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert shown.exit_code == 0
    assert (summary["problems"], summary["pending"], summary["mentor_share"]) == (2, 0, 1.0)
    assert summary["budget_reached"] is None
    assert config["policy"] == {"use": "random", "rate": 1}
    assert (config["unit"], config["seed"]) == ({"kind": "token", "size": 1}, 3)


def test_a_finished_run_says_so_and_does_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    first = invoke("run", config, "--json")
    results = (tmp_path / "out" / "results.jsonl").read_bytes()

    second = invoke("run", config, "--json")

    assert second.exit_code == 0
    assert second.stderr == "run: 12/12 finished before\n"
    assert json.loads(second.stdout)["worked_on"] == 0
    assert json.loads(second.stdout)["usage"] == json.loads(first.stdout)["usage"]
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == results


def test_a_failed_problem_exits_with_one(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with (tmp_path / "problems.jsonl").open("a") as file:
        file.write("{broken\n")

    shown = invoke("run", config)

    assert shown.exit_code == 1
    assert "run: 1/13 broken-line:13 error" in shown.stderr
    assert "--retry-errors works on them again" in shown.stdout
    assert (
        "1 failed with ProblemFileError, such as broken-line:13: line 13 of the problems file: "
        "not JSON: " in shown.stdout
    )


def test_failures_are_counted_by_kind_with_one_message_each(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, fails_at=1)
    config = write_config(tmp_path, pair=str(pair), concurrency=1, policy="never")

    shown = invoke("run", config, "--json")

    failures = json.loads(shown.stdout)["failures"]
    (reason,) = failures.values()
    assert list(failures) == ["ModelCallError"]
    assert (reason["count"], reason["message"]) == (1, "call 1 of 'adder+1' failed as told")


def test_failed_problems_are_retried_on_request(tmp_path: Path) -> None:
    pair = str(write_pair(tmp_path, fails_at=1))
    config = write_config(tmp_path, pair=pair, concurrency=1, policy="never")
    assert invoke("run", config).exit_code == 1

    # Of each loaded model the second call fails: at first that of p2, and then there is none.
    shown = invoke("run", config, "--retry-errors", "--json")

    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["outcomes"]["wrong"] == 12
    assert json.loads(shown.stdout)["worked_on"] == 1


def test_a_reached_budget_exits_with_three(tmp_path: Path) -> None:
    shown = invoke("run", write_config(tmp_path, policy="always"), "--max-mentor-tokens", 5)

    assert shown.exit_code == 3
    assert "budget reached: max_mentor_tokens; raise it and run the same" in shown.stdout


def test_a_bound_on_cost_without_prices_is_refused(tmp_path: Path) -> None:
    shown = invoke("run", write_config(tmp_path), "--max-cost", 5)

    assert shown.exit_code == 2
    assert "max_cost_usd bounds nothing while the generator and the mentor has" in shown.stderr


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    invoke("run", config)

    shown = invoke("run", config, "--seed", 5)

    assert shown.exit_code == 2
    assert "seed: 0 there, 5 now" in shown.stderr
    assert "Traceback" not in shown.output


def test_duplicate_ids_are_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    problems = tmp_path / "problems.jsonl"
    problems.write_text(problems.read_text() * 2)

    shown = invoke("run", config)

    assert shown.exit_code == 2
    assert "has the id 'p1' on lines 1 and 13" in shown.stderr


def test_missing_problems_are_asked_for(tmp_path: Path) -> None:
    shown = invoke("run", "--pair", write_pair(tmp_path), "--out", tmp_path / "out")

    assert shown.exit_code == 2
    assert "a run needs problems; give --problems" in shown.stderr


def gated_config(folder: Path) -> tuple[Path, Path]:
    """Return a configuration whose problems wait for a gate from the sixth on, and that gate."""
    gate = folder / "gate"
    return write_config(folder, pair=str(write_pair(folder, gate=str(gate)))), gate


@pytest.mark.slow
def test_a_killed_run_goes_on_with_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    config, gate = gated_config(tmp_path)
    with start("run", config) as process:
        read_until(process.stderr, f"run: {OPENED_BEFORE_THE_GATE}/12 ")
        process.send_signal(signal.SIGKILL)
    results = tmp_path / "out" / "results.jsonl"
    reported = results.read_bytes()
    assert reported.count(b"\n") == OPENED_BEFORE_THE_GATE
    with results.open("ab") as file:  # as if the kill had come in the middle of a write
        file.write(b'{"id": "p12", "outc')
    gate.touch()

    resumed = invoke("run", config)
    undisturbed = invoke("run", config, "--out", tmp_path / "undisturbed")

    assert (process.returncode, resumed.exit_code, undisturbed.exit_code) == (-9, 0, 0)
    assert results.read_bytes().startswith(reported)
    assert rows_by_id(tmp_path / "out") == rows_by_id(tmp_path / "undisturbed")


@pytest.mark.slow
def test_an_interrupted_run_says_what_is_safe_and_goes_on(tmp_path: Path) -> None:
    config, gate = gated_config(tmp_path)
    with start("run", config) as process:
        read_until(process.stderr, f"run: {OPENED_BEFORE_THE_GATE}/12 ")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate()
    gate.touch()

    resumed = invoke("run", config)
    undisturbed = invoke("run", config, "--out", tmp_path / "undisturbed")

    assert process.returncode == 130
    assert messages == (
        "ending; interrupt again to end at once\n"
        f"interrupted; 5 of 12 problems are finished and on disk in {tmp_path / 'out'}; "
        "run the same command again to continue\n"
    )
    assert (resumed.exit_code, undisturbed.exit_code) == (0, 0)
    assert rows_by_id(tmp_path / "out") == rows_by_id(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_second_driver_of_a_directory_is_refused(tmp_path: Path) -> None:
    config, _ = gated_config(tmp_path)
    with start("run", config) as process:
        read_until(process.stderr, f"run: {OPENED_BEFORE_THE_GATE}/12 ")

        second = invoke("run", config)

        process.kill()
    assert second.exit_code == 2
    assert f"out is in use by the process {process.pid}; wait for it to end" in second.stderr


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    most = 4_000  # bytes per file: as a full disk, it takes the first part of a line and no more

    shown = subprocess.run(
        [sys.executable, "-m", "collab", "run", str(config)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    safe = (tmp_path / "out" / "results.jsonl").read_bytes()
    resumed = invoke("run", config)
    undisturbed = invoke("run", config, "--out", tmp_path / "undisturbed")

    assert shown.returncode == 2
    lines = safe.count(b"\n")
    assert 0 < lines < 12
    assert f"{lines} finished problems are safely on disk. Make room" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert safe.endswith(b"\n")
    assert (resumed.exit_code, undisturbed.exit_code) == (0, 0)
    assert rows_by_id(tmp_path / "out") == rows_by_id(tmp_path / "undisturbed")
