"""The command line. The only part of this package that prints and that configures logging."""

from collab.cli.app import app


def main() -> None:
    """Run the command `collab` with the arguments of this process."""
    app()


__all__ = ["main"]
