"""What tests of the command line share."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _unconfigured_logging() -> Iterator[None]:
    """The command line configures structlog for its process, which here is that of all tests."""
    yield
    structlog.reset_defaults()
