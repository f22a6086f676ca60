"""The seam to models: what a loaded or remote model is, and what its live text can do."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from collab.capabilities import Capabilities
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.signals import NO_SIGNALS, Signals, Steering
from collab.usage import Price
from collab.views import View, ViewOptions


@dataclass(slots=True)
class Meter:
    """What a session has cost so far. Counts only grow, also when a call is cancelled.

    Attributes:
        attempts: Calls that reached the model, retries included.
        prompt_tokens: Sum over calls of the context before the first new token.
        cached_tokens: Those of them that were not computed again.
        completion_tokens: Tokens decoded, reasoning included.
        reasoning_tokens: Those of them that are no part of the answer's text.
        queue_wait_s: Seconds spent waiting for the model.
        first_token_s: Of the latest call: seconds to its first token, if one came.
        estimates: Requests of which some count was estimated.
        raw_usage: What servers themselves counted, one object per answered request.
    """

    attempts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    queue_wait_s: float = 0.0
    first_token_s: float | None = None
    estimates: int = 0
    raw_usage: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def is_estimated(self) -> bool:
        """Whether some count was estimated."""
        return self.estimates > 0


class SessionMark(Protocol):
    """A position of a live text that its session can go back to."""


class Session(Protocol):
    """A model's live text: what it sees and has written, up to its head.

    What `generate` decodes stands behind the head until `commit` moves the head over it.
    A further `generate` from the same head first replays it, so looking ahead costs
    only what is new. `append` and `rollback` drop it.

    One call at a time. Leaving a call by cancellation stops its decoding, and `meter` has
    counted it by then.
    """

    @property
    def meter(self) -> Meter:
        """What this session has cost, forks not included."""
        ...

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        ...

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; nothing is committed.

        Raises:
            ModelCallError: The model failed; an outage is never taken for the end of a text.
        """
        ...

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Return the labels' probabilities right behind the text followed by `question`.

        Each label counts by its first token. The text and its head stay as they are. Whoever knows
        the likeliest token of all says so too.

        Raises:
            ContextOverflowError: Text and question do not fit the model's context.
            ModelCallError: The model failed, or two labels begin with the same token.
        """
        ...

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return the log-probabilities of `text` as a continuation; the head stays.

        Raises:
            ContextOverflowError: Both together do not fit the model's context.
            ModelCallError: The model failed.
        """
        ...

    def commit(self, tokens: int) -> None:
        """Move the head over the next `tokens` decoded tokens; nothing is computed again.

        Raises:
            ValueError: Fewer tokens than that stand behind the head, or `tokens` is negative.
        """
        ...

    def append(self, text: str) -> int:
        """Splice foreign text in at the head.

        Returns:
            By how many of this model's tokens the text grew.
        """
        ...

    def rollback(self, mark: SessionMark) -> None:
        """Move the head back to `mark`.

        Raises:
            ValueError: It is a mark of another session, or lies ahead of the head.
        """
        ...

    def steer(self, steering: Steering | None) -> None:
        """Add a vector to the hidden states from the last token before the head on.

        It replaces the one before it; `None` ends it. What was decoded behind the head is dropped;
        what stands before it stays as it was computed, also if it is computed again.

        Raises:
            ConfigError: There is no such layer, or the vector is of another width.
            ModelCallError: The model cannot be steered.
        """
        ...

    def fork(self) -> "AbstractAsyncContextManager[Session]":
        """Return an independent session with the same text; closing it frees it."""
        ...


@runtime_checkable
class ObservedSession(Protocol):
    """A live text may also hand over hidden states; what claims a `hidden_size` has to."""

    async def observe(self, text: str, layer: int) -> Sequence[float]:
        """Return the hidden state at the last token of the text followed by `text`.

        Nothing is decoded; the text and its head stay as they are.

        Args:
            text: May be empty: then the state at the head's last token.
            layer: As in `collab.signals`; below 0 it counts from the end, so that -1 is the state
                behind the final norm.

        Returns:
            `(hidden_size,)`.

        Raises:
            ConfigError: There is no such layer.
            ContextOverflowError: Both together do not fit the model's context.
            ModelCallError: The model failed.
        """
        ...


@runtime_checkable
class ReseededSession(Protocol):
    """A live text may also begin a new random stream, so that forks of it draw other texts."""

    def reseed(self, seed: int) -> None:
        """Draw from the stream of `seed` from now on; what was decoded behind the head is dropped.

        Without sampling nothing changes but that.
        """
        ...


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
