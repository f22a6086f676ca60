"""Running a command as a user would."""

import os
import subprocess
from pathlib import Path


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Return what a command prints; fail with what it complains about."""
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
