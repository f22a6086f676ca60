"""Ending a run from outside: interrupts always do, progress that no one reads never does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli_helpers import read_until, start, write_config
from support.run_fakes import OPENED_BEFORE_THE_GATE, result_lines

pytestmark = pytest.mark.slow

STUBBORN = """
import random
from pathlib import Path

import anyio

from collab import Consult, Continue, Policy, PolicySession, Verdict, Verifier, VerifierSession


def begun(path):
    with open(path, "w") as told:  # a pipe: the test reads it
        told.write("begun")


class Loops(Policy):
    told: Path

    def start(self, problem, rng):
        return _Loops(self)


class _Loops(PolicySession):
    def __init__(self, policy):
        self.policy = policy

    def decide(self, draft):
        begun(self.policy.told)
        while True:
            pass


class Raises(Policy):
    def start(self, problem, rng):
        return _Raises()


class _Raises(PolicySession):
    def decide(self, draft):
        raise KeyboardInterrupt


class Asks(Policy):
    def start(self, problem, rng):
        return _Asks()


class _Asks(PolicySession):
    def decide(self, draft):
        return Consult()


class Swallows(Verifier):
    told: Path

    def start(self, problem, rng):
        return _Swallows(self)


class _Swallows(VerifierSession):
    def __init__(self, verifier):
        self.verifier = verifier

    async def verify(self, case, models):
        begun(self.verifier.told)
        while True:
            try:
                await anyio.sleep_forever()
            except BaseException:
                pass
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> str:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    os.mkfifo(tmp_path / "told")
    return str(tmp_path / "stubborn.py")


@pytest.mark.parametrize("kind", ["policy", "verifier"])
def test_two_interrupts_end_what_no_cancellation_ends(
    tmp_path: Path, stubborn: str, kind: str
) -> None:
    told = str(tmp_path / "told")
    plugins: dict[str, object] = {"policy": {"use": f"{stubborn}:Loops", "told": told}}
    if kind == "verifier":
        swallows = {"use": f"{stubborn}:Swallows", "told": told}
        plugins = {"policy": f"{stubborn}:Asks", "verifiers": [swallows]}
    config = write_config(tmp_path, problems=1, **plugins)
    with start("run", config) as process:
        (tmp_path / "told").read_text()
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "ending; interrupt again to end at once")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate()

    assert process.returncode == 130
    assert messages.endswith("interrupted again: ended at once; what was finished is on disk\n")


def test_a_policy_that_raises_an_interrupt_ends_the_run(tmp_path: Path, stubborn: str) -> None:
    config = write_config(tmp_path, policy=f"{stubborn}:Raises", verifiers=[])
    with start("run", config) as process:
        _, messages = process.communicate()

    assert process.returncode == 130
    assert "interrupted; 0 of 12 problems are finished" in messages


def test_sigterm_ends_a_run_with_its_summary(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    gate = tmp_path / "gate"
    pair = tmp_path / "gated.yaml"
    pair.write_text(
        (tmp_path / "pair.yaml").read_text().replace("error: 1", f"error: 1\n  gate: {gate}")
    )
    with start("run", config, "--pair", pair) as process:
        read_until(process.stderr, f"run: {OPENED_BEFORE_THE_GATE}/12 ")
        process.terminate()
        _, messages = process.communicate()

    assert process.returncode == 143
    assert "interrupted; 5 of 12 problems are finished and on disk" in messages
    assert (tmp_path / "out" / "summary.json").is_file()


@pytest.mark.parametrize("redirection", ["2>&-", "2> >(true)", "<&- 2>&-"])
def test_a_run_whose_progress_nobody_can_read_is_finished(tmp_path: Path, redirection: str) -> None:
    config = write_config(tmp_path, policy="always", segment_tokens=16)
    command = f'"{sys.executable}" -m collab run "{config}" {redirection}'

    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert shown.returncode == 0
    assert "12 finished, 0 pending" in shown.stdout
    assert len(result_lines(tmp_path / "out")) == 12
    assert (tmp_path / "out" / "lock").read_text().strip().isdigit()
