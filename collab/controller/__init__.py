"""The controller and what comes out of it."""

from collab.controller.controller import Controller, StreamEvent
from collab.controller.result import Finished, Result

__all__ = ["Controller", "Finished", "Result", "StreamEvent"]
