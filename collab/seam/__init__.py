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
    "ServedModel",
    "Service",
    "Session",
    "SessionMark",
    "SteeredSession",
]
