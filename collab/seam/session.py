"""The seam to models: what a model's live text can do, and what only some can."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.signals import Steering


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

    What `generate` decodes stands after the head until `commit` moves the head over it.
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
        """Return the labels' probabilities right after the text followed by `question`.

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
            ValueError: Fewer tokens than that stand after the head, or `tokens` is negative.
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

    def fork(self) -> "AbstractAsyncContextManager[Session]":
        """Return an independent session with the same text; closing it frees it.

        Marks of this session hold there too. The block may be left in another task.
        """
        ...

    def adopt(self, twin: "Session") -> None:
        """Take over a fork's text, what it decoded after its head, and all that is computed for it.

        This includes its cache, steering and random stream, so nothing is computed again. What this
        session held before is released. Its meter stays as it is, and so does the fork's. Marks
        that were taken before the fork stay valid, and so do the fork's own.

        The fork must not be used any more. Closing it frees nothing that was taken over.

        Args:
            twin: An open fork of this session. A fork of a fork is adopted by that fork.

        Raises:
            ValueError: It is no open fork of this session, or was adopted before.
        """
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
                after the final norm.

        Returns:
            `(hidden_size,)`.

        Raises:
            ConfigError: There is no such layer.
            ContextOverflowError: Both together do not fit the model's context.
            ModelCallError: The model failed.
        """
        ...


@runtime_checkable
class RewardedSession(Protocol):
    """A live text may also be given rewards for its steps; what says `can_reward` has to.

    Process reward models do this; they need not be able to write.
    """

    async def reward(self, steps: Sequence[str]) -> Sequence[float]:
        """Return a reward for each of `steps`, which follow the text one after another.

        The text and its head stay as they are.

        Returns:
            One number per step, higher for better ones; their scale is the model's own.

        Raises:
            ContextOverflowError: Text and steps do not fit the model's context.
            ModelCallError: The model failed.
        """
        ...


@runtime_checkable
class SteeredSession(Protocol):
    """A live text may also have its hidden states changed; what says `can_steer` has to."""

    def steer(self, steering: Steering | None) -> None:
        """Add a vector to the hidden states from the last token before the head on.

        It replaces the one before it; `None` ends it. What was decoded after the head is dropped.
        What stands before it stays as it was computed, also if it is computed again.

        Raises:
            ConfigError: There is no such layer, or the vector is of another width.
            ModelCallError: The model cannot be steered.
        """
        ...


@runtime_checkable
class ReseededSession(Protocol):
    """A live text may also begin a new random stream, so that forks of it draw other texts."""

    def reseed(self, seed: int) -> None:
        """Draw from the stream of `seed` from now on; what was decoded after the head is dropped.

        Without sampling nothing changes but that.
        """
        ...
