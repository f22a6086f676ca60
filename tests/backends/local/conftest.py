"""Fixtures of the local backend's tests."""

import pytest

from collab_backends.local.engines import EngineName, EngineOptions


@pytest.fixture(params=["packed", "paged"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EngineName:
    """Have a test run over packed rows and over pages."""
    name: EngineName = request.param
    monkeypatch.setattr("support.models.ENGINE", EngineOptions(engine=name))
    return name
