"""What tests of the command line share: calling it, here or as a process, and its inputs."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import yaml
from support.run_fakes import ADDER, write_problems
from typer.testing import CliRunner, Result

from collab.cli.app import app


def invoke(*arguments: object, typed: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(one) for one in arguments], input=typed)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "collab", *(str(one) for one in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that started the tests in the background has told them to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines until one contains `text`, and return it."""
    assert stream is not None, "the process was started with pipes"
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"the stream ended without {text!r}")


def write_pair(folder: Path, **generator: object) -> Path:
    """Write a pair whose generator is wrong by 1 and whose mentor is right."""
    path = folder / f"pair{'-'.join(generator)}.yaml"
    pair = {"generator": {"use": ADDER, "error": 1, **generator}, "mentor": ADDER}
    path.write_text(yaml.safe_dump(pair))
    return path


def write_config(folder: Path, *, problems: int = 12, **values: object) -> Path:
    """Write the configuration of a run of that pair."""
    defaults: dict[str, object] = {
        "pair": str(write_pair(folder)),
        "policy": {"use": "random", "rate": 0.3},
        "verifiers": ["always-mentor"],
        "segment_tokens": 2,
        "problems": str(write_problems(folder / "problems.jsonl", problems)),
        "out": str(folder / "out"),
        "concurrency": 4,
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(defaults | values))
    return path
