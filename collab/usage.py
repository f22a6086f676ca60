"""The ledger: one record per model call, whose sums are the usage."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

Purpose = Literal["draft", "look-ahead", "consult", "judge", "score", "probe", "answer"]
"""What a model was called for. Only judging and scoring write nothing that could be kept."""

CallOutcome = Literal["ok", "cancelled", "failed"]

_WRITING: frozenset[Purpose] = frozenset({"draft", "look-ahead", "consult", "probe", "answer"})


class Price(BaseModel):
    """What one model costs, in US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: float = Field(ge=0, description="Price of prompt tokens that were not cached.")
    cached: float | None = Field(
        default=None,
        ge=0,
        description="Price of cached prompt tokens; by default that of the others.",
    )
    completion: float = Field(
        ge=0, description="Price of decoded tokens, kept or not, with reasoning."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected a number")  # noqa: TRY004  # pydantic turns only ValueError into a validation error
        return value

    def of(self, *, prompt: int, cached: int, completion: int) -> float:
        """Return the price in dollars; `prompt` counts the cached tokens too."""
        cached_price = self.prompt if self.cached is None else self.cached
        fresh = prompt - cached
        total = fresh * self.prompt + cached * cached_price + completion * self.completion
        return total / 1e6


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a model, whether its text was kept, thrown away, cancelled or failed.

    Attributes:
        index: Names the call within its problem; ascending by when calls began.
        role: The participant that was called: `generator`, `mentor` or another mentor's name.
        model: The model's name.
        purpose: What it was called for.
        prompt_tokens: Tokens of context before the first new one, cached ones included.
        cached_tokens: Those of them that were not computed again.
        completion_tokens: Tokens decoded, reasoning included.
        reasoning_tokens: Those of them that are no part of the answer's text.
        kept_tokens: Tokens of these that stand in the trace.
        attempts: Tries, the successful one included.
        queue_wait_s: Seconds until the model began to work on it.
        first_token_s: Seconds from the call to its first token, if one came.
        total_s: Seconds from the call to its end.
        cost_usd: Price, or `None` if the model has none.
        outcome: How it ended.
        is_estimated: Whether the server gave no counts, or such that contradict each other, and
            they were estimated.
        raw_usage: What the server itself counted, one object per answered request; nothing here is
            computed from it but the counts above.
    """

    index: int
    role: str
    model: str
    purpose: Purpose
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    kept_tokens: int = 0
    attempts: int = 1
    queue_wait_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0
    cost_usd: float | None = None
    outcome: CallOutcome = "ok"
    is_estimated: bool = False
    raw_usage: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def fresh_tokens(self) -> int:
        """Prompt tokens that were computed, so the prompt's without the cached ones."""
        return self.prompt_tokens - self.cached_tokens

    @property
    def visible_tokens(self) -> int:
        """Tokens decoded without the reasoning ones."""
        return self.completion_tokens - self.reasoning_tokens

    @property
    def discarded_tokens(self) -> int:
        """Tokens written as text that do not stand in the trace."""
        return self.completion_tokens - self.kept_tokens if self.purpose in _WRITING else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over calls; add two with `+`.

    Some counts of `estimated_calls` were estimated, see `Call.is_estimated`.
    """

    calls: int = 0
    estimated_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    kept_tokens: int = 0
    discarded_tokens: int = 0
    model_s: float = 0.0
    cost_usd: float = 0.0

    @property
    def fresh_tokens(self) -> int:
        """Prompt tokens that were computed, so the prompts' without the cached ones."""
        return self.prompt_tokens - self.cached_tokens

    @property
    def visible_tokens(self) -> int:
        """Tokens decoded without the reasoning ones."""
        return self.completion_tokens - self.reasoning_tokens

    @classmethod
    def of(cls, calls: Iterable[Call]) -> "Usage":
        """Return the sums over `calls`."""
        return sum((cls._of_one(call) for call in calls), cls())

    @classmethod
    def _of_one(cls, call: Call) -> "Usage":
        return cls(
            calls=1,
            estimated_calls=int(call.is_estimated),
            prompt_tokens=call.prompt_tokens,
            cached_tokens=call.cached_tokens,
            completion_tokens=call.completion_tokens,
            reasoning_tokens=call.reasoning_tokens,
            kept_tokens=call.kept_tokens,
            discarded_tokens=call.discarded_tokens,
            model_s=call.total_s,
            cost_usd=call.cost_usd or 0.0,
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls + other.calls,
            estimated_calls=self.estimated_calls + other.estimated_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            kept_tokens=self.kept_tokens + other.kept_tokens,
            discarded_tokens=self.discarded_tokens + other.discarded_tokens,
            model_s=self.model_s + other.model_s,
            cost_usd=self.cost_usd + other.cost_usd,
        )


def usage_by_role(calls: Iterable[Call]) -> dict[str, Usage]:
    """Return the usage of every role that was called, in the order of first calls."""
    usage: dict[str, Usage] = {}
    for call in calls:
        usage[call.role] = usage.get(call.role, Usage()) + Usage.of([call])
    return usage


@dataclass(slots=True)
class Ledger:
    """The calls of one problem, in the order in which they began.

    Attributes:
        usage: Their sums so far by role; what was kept is known only at the end.
    """

    usage: dict[str, Usage] = field(default_factory=dict)
    _calls: dict[int, Call] = field(default_factory=dict)
    _begun: int = 0

    @property
    def calls(self) -> Sequence[Call]:
        """All records so far."""
        return tuple(self._calls[index] for index in sorted(self._calls))

    def begin(self) -> int:
        """Return the index of a call that begins now; one that never reaches a model keeps it."""
        self._begun += 1
        return self._begun - 1

    def add(self, call: Call) -> None:
        """Record a call that ended."""
        self._calls[call.index] = call
        self.usage[call.role] = self.usage.get(call.role, Usage()) + Usage.of([call])

    def settled(self, kept: Iterable[int]) -> tuple[Call, ...]:
        """Return the records with `kept_tokens` filled in.

        Args:
            kept: For each token that stands in the trace, the call that decoded it.
        """
        counts = Counter(kept)
        return tuple(replace(call, kept_tokens=counts[call.index]) for call in self.calls)
