"""For plug-in authors: fakes, and one conformance check per kind of plug-in."""

from collab.testing.checks import (
    check_policy,
    check_recipe,
    check_steerer,
    check_verifier,
)
from collab.testing.conformance import ConformanceError
from collab.testing.desks import FakeDesk
from collab.testing.fakes import ALL_CAPABILITIES, FakeBackend, FakeModel, FakeSession, pieces
from collab.testing.session_checks import check_backend
from collab.testing.strategy_checks import check_strategy

__all__ = [
    "ALL_CAPABILITIES",
    "ConformanceError",
    "FakeBackend",
    "FakeDesk",
    "FakeModel",
    "FakeSession",
    "check_backend",
    "check_policy",
    "check_recipe",
    "check_steerer",
    "check_strategy",
    "check_verifier",
    "pieces",
]
