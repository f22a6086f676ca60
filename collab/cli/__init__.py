"""The command line. The only part of this package that prints and that configures logging."""

from collab.cli.app import app
from collab.cli.interrupts import is_of_interruption, leave_at_once
from collab.cli.terminal import open_closed_streams, survive_narrow_encodings


def main() -> None:
    """Run the command `collab` with the arguments of this process."""
    open_closed_streams()
    survive_narrow_encodings()
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.code, int) and is_of_interruption(ended.code):
            leave_at_once(ended.code)
        raise


__all__ = ["main"]
