"""Connecting participants' models: each backend once, errors by the participant's name."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

from collab.capabilities import Capabilities
from collab.errors import CollabError, ModelLoadError
from collab.seam import ConsultationBackend, Model


@dataclass(frozen=True, slots=True)
class ConnectedModels:
    """The participants of a pair, connected.

    Attributes:
        backends: How each is reached, the generator first.
        models: What was reached.
        judging: The names of those that never write.
    """

    backends: Mapping[str, ConsultationBackend]
    models: Mapping[str, Model]
    judging: frozenset[str]

    @property
    def capabilities(self) -> dict[str, Capabilities]:
        """What each can do."""
        return {role: model.capabilities for role, model in self.models.items()}


class Connections:
    """The models that are connected on one stack; equal backends share one.

    Args:
        stack: Closes them.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._connected: list[tuple[ConsultationBackend, Model]] = []

    async def connect(self, role: str, backend: ConsultationBackend) -> Model:
        """Return the model of a participant.

        Raises:
            ModelLoadError: It cannot be loaded or reached.
        """
        for known, model in self._connected:
            if known == backend:
                return model
        with _named(role):
            model = await self._stack.enter_async_context(backend.connect())
        self._connected.append((backend, model))
        return model


@contextmanager
def _named(role: str) -> Iterator[None]:
    """Turn whatever a backend raises while it connects into an error that names the participant."""
    try:
        yield
    except CollabError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelLoadError(
            f"the {role} cannot be reached: {type(error).__name__}: {error}"
        ) from error
