"""The process that compares mathematical expressions: math-verify behind pipes.

Run by `collab.grading.math_equality` as a script, never imported: what it reads may be hostile, so
it is killed where it takes too long, and the memory it may take is bounded. Requests and answers
are lines of JSON; the first answer says that it is ready.
"""

import contextlib
import json
import logging
import os
import resource
import signal
import sys
from typing import TextIO

from math_verify import parse, verify
from sympy import Basic, MatrixBase

_MAX_BYTES = 4 << 30


def main() -> None:
    """Answer requests until the standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever a library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(ValueError, OSError):  # a lower bound is in place already
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    _send(answers, "ready")
    for line in sys.stdin:
        request = json.loads(line)
        # Of its own time, not the machine's: the signal ends the process, whatever it is in.
        signal.setitimer(signal.ITIMER_PROF, request["limit_s"])
        answer = _compared(request["answer"], request["reference"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers, answer)


def _compared(answer: str, reference: str) -> bool | None:
    """Return whether both say the same; `None` if that cannot be told."""
    try:
        expected, found = _parsed(reference), _parsed(answer)
        if not any(isinstance(one, Basic | MatrixBase) for one in expected):
            return None
        return bool(verify(expected, found, timeout_seconds=None, raise_on_error=True))
    except (Exception, RecursionError, MemoryError):  # noqa: BLE001  # whatever hostile text does
        return None


def _parsed(text: str) -> list[object]:
    expressions: list[object] = parse(f"${text.strip().strip('$')}$", parsing_timeout=None)
    return expressions


def _send(answers: TextIO, answer: object) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
