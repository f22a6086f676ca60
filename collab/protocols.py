"""The protocols: the seam to models, and what the three kinds of plug-ins are.

A plug-in is a frozen pydantic value: its fields are its options. Memory of one problem lives in
the session that `start` returns. `Policy` and `Verifier` below are bases for such values; any
object of the same shape will do.
"""

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from collab.capabilities import Capabilities, Need
from collab.decisions import Decision, Mark
from collab.problems import Problem
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.usage import Price
from collab.verdicts import Abstain, Verdict
from collab.views import View, ViewOptions

# --- The seam to models -----------------------------------------------------------------------


@dataclass(slots=True)
class Meter:
    """What a session has cost so far. Counts only grow, also when a call is cancelled.

    Attributes:
        attempts: Calls that reached the model, retries included.
        prompt_tokens: Sum over calls of the context before the first new token.
        cached_tokens: Those of them that were not computed again.
        completion_tokens: Tokens decoded.
        queue_wait_s: Seconds spent waiting for the model.
        first_token_s: Of the latest call: seconds to its first token, if one came.
        is_estimated: Whether some count was estimated.
    """

    attempts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_wait_s: float = 0.0
    first_token_s: float | None = None
    is_estimated: bool = False


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

        Each label counts by its first token. The text and its head stay as they are.
        """
        ...

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return the log-probabilities of `text` as a continuation; the head stays."""
        ...

    def commit(self, tokens: int) -> None:
        """Move the head over the next `tokens` decoded tokens; nothing is computed again.

        Raises:
            ValueError: Fewer tokens than that stand behind the head.
        """
        ...

    def append(self, text: str) -> int:
        """Splice foreign text in at the head.

        Returns:
            By how many of this model's tokens the text grew.
        """
        ...

    def rollback(self, mark: SessionMark) -> None:
        """Move the head back to `mark`."""
        ...

    def fork(self) -> "AbstractAsyncContextManager[Session]":
        """Return an independent session with the same text; closing it frees it."""
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
        self, view: View, *, seed: int, entropy_top_k: int
    ) -> AbstractAsyncContextManager[Session]:
        """Open a session at the end of the view's text; leaving it frees all it holds.

        Nothing is computed before the session's first call.

        Args:
            view: The problem as this participant sees it.
            seed: Of the session's own random stream, used when sampling.
            entropy_top_k: Measure entropy over the k most likely tokens; 0 for not at all.

        Raises:
            ContextOverflowError: The prompt does not fit.
        """
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


# --- Plug-ins ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """One unit just written by the generator, not yet committed: what a policy is asked about.

    Attributes:
        proposal: Its text, tokens and signals.
        unit: Its index among the units of this problem, from 0.
        mark: Where it starts in the trace.
        answer: The answer up to there.
        is_last: Whether the generator ends its text with this unit.
    """

    proposal: Proposal
    unit: int
    mark: Mark
    answer: str = field(repr=False)
    is_last: bool = False

    @property
    def text(self) -> str:
        """The unit's text."""
        return self.proposal.text

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The unit's tokens."""
        return self.proposal.tokens


class PolicySession:
    """A policy's memory of one problem. Synchronous; touches no model, clock or network."""

    def ahead(self) -> int:
        """Return how many units may be written before the next question, at least 1.

        Asked before each draft. A policy whose positions do not depend on the text draws them
        ahead, and the generator writes straight to the next one. The units before
        it are committed without a question.
        """
        return 1

    def decide(self, draft: Draft) -> Decision:
        """Return what should happen with `draft`."""
        raise NotImplementedError

    def learn(self, verdict: Verdict) -> None:
        """Take note of what became of the last consultation. Does nothing by default."""


class Policy(BaseModel):
    """Base of decision policies: does the generator need help here?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this policy asks of the models."""
        return ()

    @property
    def entropy_top_k(self) -> int:
        """The k of the generator's entropies that drafts carry; 0 for none."""
        return max((need.amount for need in self.needs if need.ability == "entropy"), default=0)

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        """Return the session of one problem; `rng` is that problem's own random stream."""
        raise NotImplementedError


DecisionPolicy = Policy


@dataclass(frozen=True, slots=True)
class Case:
    """What a verifier is asked: which of these stands at the mark?

    Attributes:
        draft: The generator's unit at which the policy stopped.
        proposals: By author; each starts at the mark. The generator's is its look-ahead, which
            begins with the draft. Without a mentor's, the question is whether the draft stands.
        mentor: The author of the mentor's proposal, or empty.
        answer: The answer up to the mark.
    """

    draft: Draft
    proposals: dict[str, Proposal]
    mentor: str
    answer: str = field(repr=False)


class Handles(Protocol):
    """A verifier's ledgered access to the participants, at the mark."""

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask `role` for the probabilities of `labels` right behind `question`."""
        ...

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask `role` for the log-probabilities of `text` at the mark."""
        ...


class VerifierSession:
    """A verifier's memory of one problem."""

    async def verify(self, case: Case, models: Handles) -> Verdict | Abstain:
        """Return which proposal stands, or abstain."""
        raise NotImplementedError


class Verifier(BaseModel):
    """Base of verifiers: which continuation stands?"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this verifier asks of the models."""
        return ()

    @property
    def reads_look_ahead(self) -> bool:
        """Whether it compares what the generator would write on; if not, it is not written."""
        return True

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return the session of one problem; `rng` is that problem's own random stream."""
        raise NotImplementedError
