"""The seam to models: what a loaded or remote model is, and what its live text can do."""

from collab.seam.model import (
    Backend,
    ConsultationBackend,
    Model,
    ServedModel,
    Service,
)
from collab.seam.session import (
    Meter,
    ObservedSession,
    ReseededSession,
    RewardedSession,
    Session,
    SessionMark,
    SteeredSession,
)

__all__ = [
    "Backend",
    "ConsultationBackend",
    "Meter",
    "Model",
    "ObservedSession",
    "ReseededSession",
    "RewardedSession",
    "ServedModel",
    "Service",
    "Session",
    "SessionMark",
    "SteeredSession",
]
