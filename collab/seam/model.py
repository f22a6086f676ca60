"""The seam to models: what a backend and a loaded or remote model are."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from collab.capabilities import Capabilities
from collab.seam.session import Session
from collab.signals import NO_SIGNALS, Signals
from collab.usage import Price
from collab.views import View, ViewOptions


class Model(Protocol):
    """A loaded or connected model."""

    @property
    def name(self) -> str:
        """Its name in ledgers and errors."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def open(
        self, view: View, *, seed: int, signals: Signals = NO_SIGNALS
    ) -> AbstractAsyncContextManager[Session]:
        """Open a session at the end of the view's text; leaving it frees all it holds.

        Nothing is computed before the session's first call.

        Args:
            view: The problem as this participant sees it.
            seed: Of the session's own random stream, used when sampling.
            signals: What to measure beside its tokens.

        Raises:
            ContextOverflowError: The prompt does not fit.
            ConfigError: An observed layer does not exist.
        """
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """How a model behind a server is asked.

    Attributes:
        operation: What its calls are.
        provider: Who answers: a name of the conventions, or what the server says of itself.
        model: The model, as the server calls it.
    """

    operation: Literal["chat", "text_completion"]
    provider: str
    model: str


@runtime_checkable
class ServedModel(Protocol):
    """A model behind a server may also say how it is asked; traces then name the server."""

    @property
    def service(self) -> Service:
        """How it is asked."""
        ...


@runtime_checkable
class ConsultationBackend(Protocol):
    """A frozen value that says how to reach one model."""

    @property
    def price(self) -> Price | None:
        """What its tokens cost, if anything."""
        ...

    @property
    def view(self) -> ViewOptions:
        """How problems are shown to this model."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Model]:
        """Load or reach the model; leaving releases it.

        Raises:
            ModelLoadError: It cannot be loaded or reached.
        """
        ...


class Backend(BaseModel):
    """Base of backends: the options that every one of them has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price: Price | None = Field(default=None, description="What its tokens are taken to cost.")
    view: ViewOptions = Field(default=ViewOptions(), description="How problems are shown to it.")

    def connect(self) -> AbstractAsyncContextManager[Model]:
        """Load or reach the model; see `ConsultationBackend.connect`."""
        raise NotImplementedError
