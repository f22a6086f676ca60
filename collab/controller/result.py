"""What comes out of one problem."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collab.endings import Ending, Reason
from collab.errors import CollabError
from collab.problems import Problem
from collab.roles import GENERATOR
from collab.trace import Span, TraceEvent, answer_text, mentor_share
from collab.usage import Call, Usage, usage_by_role
from collab.views import ThinkingTags

_SHOWN = 200


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """One problem's answer and everything that led to it.

    Attributes:
        problem: The problem.
        ending: Why it ended.
        spans: The spans that stand.
        events: Everything that happened, in order.
        calls: The ledger.
        duration_s: Wall-clock seconds from start to end.
        degradations: Names of what plug-ins did without.
        error: What went wrong, if anything did; `spans` hold the partial answer then.
        thinking: The tags between which the text thinks aloud, as the generator's view or the
            recipe's phases name them.
        kept: What plug-ins hand over, by `policy`, `verifier-0` and so on, or names of a
            strategy's own.
    """

    problem: Problem
    ending: Ending
    spans: Sequence[Span]
    events: Sequence[TraceEvent] = field(repr=False)
    calls: Sequence[Call] = field(repr=False)
    duration_s: float
    degradations: tuple[str, ...] = ()
    error: Exception | None = None
    thinking: ThinkingTags | None = None
    kept: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """Return what became of the problem, in a line."""
        text = self.text if len(self.text) <= _SHOWN else f"…{self.text[-_SHOWN:]}"
        return (
            f"Result({self.problem.id!r}, {str(self.ending)!r}, "
            f"mentor_share={self.mentor_share:.3f}, "
            f"text={text!r}{f', error={self.error!r}' if self.error else ''})"
        )

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it: the mentors' words are underlined."""
        pieces = []
        for span in self.spans:
            told = html.escape(span.text)
            if span.author != GENERATOR and span.kind != "injection":
                title = html.escape(span.author, quote=True)
                told = f'<u style="color: #a0a" title="{title}">{told}</u>'
            pieces.append(told)
        facts = [f"{self.ending}, {self.mentor_share:.1%} by mentors"]
        facts += [f"{role}: {one.completion_tokens:,} tokens" for role, one in self.usage.items()]
        if self.error is not None:
            facts.append(f"{type(self.error).__name__}: {self.error}")
        return (
            f'<div style="white-space: pre-wrap">{"".join(pieces)}</div>'
            f"<small>{html.escape('; '.join(facts))}</small>"
        )

    @property
    def reason(self) -> Reason:
        """Why it ended, one of a closed set; `ending` says more."""
        return self.ending.reason

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
