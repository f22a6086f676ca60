"""Whether two mathematical expressions are equal, asked of a worker process with a time limit.

The worker is started at the first question and asked again and again; one that takes too much of
the processor ends, and another is started at the next question. One that hardly got to run is
killed and asked once more.
"""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

from collab.errors import ConfigError
from collab.texts import how_to_install

LIMIT_S = 5.0
"""Seconds of the processor that one comparison may take."""

_TRIES = 2
_WAIT_S = 60.0  # for a worker that a loaded machine keeps from its seconds

_START_LIMIT_S = 120.0
_CHUNK_BYTES = 4096
_WORKER = Path(__file__).with_name("math_worker.py")


def ensure_math_verify() -> None:
    """Refuse to go on without the package.

    Raises:
        ConfigError: It is not installed.
    """
    if find_spec("math_verify") is None:
        raise ConfigError(
            "the grader 'math-verify' needs a package that is not installed; "
            f"{how_to_install('math')}"
        )


def are_equal(answer: str, reference: str, *, limit_s: float = LIMIT_S) -> bool | None:
    """Return whether `answer` says what `reference` says, as mathematics.

    Blocks until the worker has used `limit_s` of the processor, so for longer on a loaded machine,
    and for some seconds more where a worker has to be started first; call it on a thread.

    Returns:
        `None` where that cannot be told: the reference is no expression, the comparison took too
        long, too much memory, or broke the worker.

    Raises:
        ConfigError: math-verify is not installed, or cannot be started.
    """
    return _SHARED.compare(answer, reference, limit_s)


class _Worker:
    """One process, started when it is needed and killed when it is late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, answer: str, reference: str, limit_s: float) -> bool | None:
        request = {"answer": answer, "reference": reference, "limit_s": limit_s}
        with self._lock:
            for _ in range(_TRIES):
                process = self._process or self._start()
                told = _ask(process, request, limit_s + _WAIT_S)
                if told is not None:
                    found: bool | None = json.loads(told)
                    return found
                is_late = process.poll() is None and not _has_ended(process)
                self._kill()
                if not is_late:
                    break
        return None

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._kill()

    def _start(self) -> "subprocess.Popen[bytes]":
        ensure_math_verify()
        # By its path: a run's working directory and its modules are none of its business.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if _read_line(self._process, _START_LIMIT_S) is None:
            self._kill()
            raise ConfigError(
                "the grader 'math-verify' cannot be started; see what "
                f"`{sys.executable} -c 'import math_verify'` says"
            )
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # of what was never read
                    pipe.close()


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the worker's pipe is closed, as it is once its time is used up."""
    assert process.stdout is not None, "it was started with pipes"
    ready, _, _ = select.select([process.stdout.fileno()], [], [], 0)
    return bool(ready)


def _ask(
    process: "subprocess.Popen[bytes]", request: dict[str, object], limit_s: float
) -> bytes | None:
    """Return the worker's line, or `None` if it is late or gone."""
    assert process.stdin is not None, "it was started with pipes"
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    return _read_line(process, limit_s)


def _read_line(process: "subprocess.Popen[bytes]", limit_s: float) -> bytes | None:
    assert process.stdout is not None, "it was started with pipes"
    pipe, line = process.stdout.fileno(), b""
    deadline = monotonic() + limit_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], max(deadline - monotonic(), 0))
        chunk = os.read(pipe, _CHUNK_BYTES) if ready else b""
        if not chunk:
            return None
        line += chunk
    return line


_SHARED = _Worker()
atexit.register(_SHARED.close)
