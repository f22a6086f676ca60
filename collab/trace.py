"""The trace: the append-only record of one problem's spans and events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from collab.decisions import Decision, Mark
from collab.roles import GENERATOR
from collab.verdicts import Verdict

SpanKind = Literal["draft", "consultation", "injection"]
"""How a span came about: the generator's own writing, a mentor's proposal that stood, or text
that a policy put in."""


@dataclass(frozen=True, slots=True)
class Span:
    """An immutable piece of committed text.

    Attributes:
        index: Position among all spans ever committed.
        author: The participant that wrote it.
        text: What it says.
        tokens: Its length in its author's tokenizer.
        kind: How it came about.
        visible_to: The participants that may see it; `None` for all.
        calls: For each token, the index of the ledger's call that decoded it.
    """

    index: int
    author: str
    text: str
    tokens: int
    kind: SpanKind
    visible_to: frozenset[str] | None = None
    calls: tuple[int, ...] = ()

    def is_visible_to(self, participant: str) -> bool:
        """Whether `participant` sees this span."""
        return self.visible_to is None or participant in self.visible_to


@dataclass(frozen=True, slots=True)
class Committed:
    """A span joined the text."""

    span: Span


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Spans from `mark` on left the text; they stay in the record."""

    mark: Mark
    spans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """A policy answered; `draft` is the text it was asked about."""

    decision: Decision
    draft: str
    unit: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A verifier answered, or all of them abstained."""

    verdict: Verdict
    verifier: str
    proposals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The problem ended; `reason` is one of those in `Result.reason`."""

    reason: str


TraceEvent = Committed | RolledBack | Decided | Verified | Ended
EventT = TypeVar("EventT", bound=TraceEvent)


@dataclass(slots=True)
class Trace:
    """Spans and events of one problem. Nothing is ever removed from `events`.

    Attributes:
        events: Everything that happened, in order.
        text: The answer so far: all standing spans that are visible to everybody.
        tokens: Tokens of all standing spans, each in its author's tokenizer.
    """

    events: list[TraceEvent] = field(default_factory=list)
    text: str = ""
    tokens: int = 0
    _live: list[Span] = field(default_factory=list)
    _committed: int = 0

    @property
    def spans(self) -> Sequence[Span]:
        """The spans that stand, in order."""
        return tuple(self._live)

    @property
    def length(self) -> int:
        """How many spans stand."""
        return len(self._live)

    @property
    def next_index(self) -> int:
        """The index the next span has to carry."""
        return self._committed

    @property
    def mark(self) -> Mark:
        """A pointer to the end of the text."""
        return Mark(len(self._live))

    def commit(self, span: Span) -> Committed:
        """Append a span."""
        self._live.append(span)
        self._committed += 1
        # Kept as it grows: joining all spans at every unit would be quadratic.
        self.text += answer_text([span])
        self.tokens += span.tokens
        return self.record(Committed(span))

    def rollback(self, mark: Mark) -> RolledBack:
        """Take the spans after `mark` out of the text."""
        gone = tuple(span.index for span in self._live[mark.spans :])
        del self._live[mark.spans :]
        self.text = answer_text(self._live)
        self.tokens = sum(span.tokens for span in self._live)
        return self.record(RolledBack(mark, gone))

    def since(self, spans: int) -> Sequence[Span]:
        """Return the standing spans from the `spans`-th on."""
        return self._live[spans:]

    def record(self, event: EventT) -> EventT:
        """Append an event and return it."""
        self.events.append(event)
        return event


def answer_text(spans: Sequence[Span]) -> str:
    """Return the text of the answer: what is hidden from some participant is not part of it."""
    return "".join(span.text for span in spans if span.visible_to is None)


def mentor_share(spans: Sequence[Span]) -> float:
    """Return mentor-written tokens over all tokens of the final answer, in `[0, 1]`."""
    mentors, total = written_tokens((span.author, span.kind, span.tokens) for span in spans)
    return mentors / total if total else 0.0


def written_tokens(spans: Iterable[tuple[str, str, int]]) -> tuple[int, int]:
    """Return the tokens that mentors wrote, and those that any model wrote.

    Tokens are counted by their author's tokenizer. Whoever is not the generator is a mentor.
    Injected text has no author among the models and does not count.

    Args:
        spans: Author, kind and tokens of each span.
    """
    written = [(author, tokens) for author, kind, tokens in spans if kind != "injection"]
    mentors = sum(tokens for author, tokens in written if author != GENERATOR)
    return mentors, sum(tokens for _, tokens in written)
