"""What comes out of one problem."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from collab.errors import CollabError
from collab.problems import Problem
from collab.trace import Span, TraceEvent, answer_text, mentor_share
from collab.usage import Call, Usage, usage_by_role
from collab.views import ThinkingTags

ERROR = "error"
"""The reason to end of a problem that failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """One problem's answer and everything that led to it.

    Attributes:
        problem: The problem.
        reason: Why it ended: `eos`, `stop_string`, `length`, `context`, `repeat`, `turns`
            (text was taken back so often that there was no end in sight), `budget: NAME`,
            `policy` (with its reason) or `error`.
        spans: The spans that stand.
        events: Everything that happened, in order.
        calls: The ledger.
        duration_s: Wall-clock seconds from start to end.
        degradations: Names of what plug-ins did without.
        error: What went wrong, if anything did; `spans` hold the partial answer then.
        thinking: The tags between which the text thinks aloud, as the generator's view or the
            recipe's phases name them.
    """

    problem: Problem
    reason: str
    spans: Sequence[Span]
    events: Sequence[TraceEvent] = field(repr=False)
    calls: Sequence[Call] = field(repr=False)
    duration_s: float
    degradations: tuple[str, ...] = ()
    error: Exception | None = None
    thinking: ThinkingTags | None = None

    @property
    def text(self) -> str:
        """The answer."""
        return answer_text(self.spans)

    @property
    def usage(self) -> dict[str, Usage]:
        """Sums of the ledger by role."""
        return usage_by_role(self.calls)

    @property
    def mentor_share(self) -> float:
        """Mentor-written tokens over all tokens of the answer, in `[0, 1]`."""
        return mentor_share(self.spans)

    @property
    def cost_usd(self) -> float:
        """Price of all calls, of models that have one."""
        return sum(call.cost_usd or 0.0 for call in self.calls)

    def raise_for_error(self) -> "Result":
        """Return this result, or raise what went wrong."""
        if isinstance(self.error, CollabError):
            raise self.error
        if self.error is not None:
            what = f"{type(self.error).__name__}: {self.error}"
            raise CollabError(f"problem {self.problem.id!r} failed: {what}") from self.error
        return self


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream."""

    result: Result
