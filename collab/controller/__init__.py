"""The controller, the pair that it stands on, and what comes out of them."""

from collab.controller.controller import Controller
from collab.controller.delivery import StreamEvent
from collab.controller.pair import Pair
from collab.controller.result import Finished, Result
from collab.controller.settling import Settled

__all__ = ["Controller", "Finished", "Pair", "Result", "Settled", "StreamEvent"]
