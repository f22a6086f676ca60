"""Structured events, silent until the application configures structlog.

This library never configures logging. Unconfigured, structlog would print every event to
standard output; so events are emitted only once `structlog.configure` was called.
"""

import structlog


def log_event(name: str, **fields: object) -> None:
    """Log that something happened: a dotted name in the past tense, and its fields."""
    if structlog.is_configured():
        structlog.get_logger().info(name, **fields)
