"""The only writer of the trace: spans, rollbacks, and the rule against repetition."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from collab.controller.participant import Participant
from collab.decisions import Mark
from collab.proposals import Proposal
from collab.roles import GENERATOR
from collab.trace import Span, SpanKind, Trace, TraceEvent

Emit = Callable[[TraceEvent], Awaitable[None]]


class Committer:
    """Commits what stands, keeps the participants in step, and counts units.

    Attributes:
        trace: The trace it writes.
        units: Units committed so far; a segment that stood counts as one.
        lowest: The fewest spans that stood since it began, or since the branch was made.
    """

    def __init__(
        self,
        trace: Trace,
        participants: Mapping[str, Participant],
        emit: Emit,
        *,
        repeat_limit: int,
    ) -> None:
        self.trace = trace
        self.units = 0
        self._participants = participants
        self._emit = emit
        self._repeat_limit = repeat_limit
        # Of each unit: where it was committed, and its text.
        self._recent: list[tuple[int, str]] = []
        self.lowest = trace.length

    async def record(self, event: TraceEvent) -> None:
        """Append an event to the trace and pass it on."""
        await self._emit(self.trace.record(event))

    async def commit(self, written: Proposal, cuts: Sequence[int]) -> bool:
        """Commit the units that end at `cuts`, as one span that starts at its author's head.

        Returns:
            Whether all were: not, if one is the last of too many equal ones in a row. That one
            and those after it are not committed.
        """
        kept, is_whole = 0, True
        for start, end in pairwise([0, *cuts]):
            if self._is_repeated(written.part(start, end).text):
                is_whole = False
                break
            kept = end
            self.units += 1
        await self._commit_tokens(written.part(0, kept))
        return is_whole

    async def commit_answer(self, proposal: Proposal) -> None:
        """Commit what one participant wrote as the answer, whatever stood before it."""
        await self._commit_tokens(proposal)

    async def inject(self, text: str, author: str, visible_to: frozenset[str] | None) -> None:
        """Commit text that no model wrote."""
        span = Span(
            index=self.trace.next_index,
            author=author,
            text=text,
            tokens=0,
            kind="injection",
            visible_to=visible_to,
        )
        await self._emit(self.trace.commit(span))

    def branched(self, participants: Mapping[str, Participant]) -> "Committer":
        """Return a committer that goes on from here with a trace of its own, which no one hears."""
        twin = Committer(
            self.trace.copy(), participants, emit_nothing, repeat_limit=self._repeat_limit
        )
        twin.units, twin._recent = self.units, [*self._recent]
        return twin

    async def take_over(self, branch: "Committer", spans: int) -> None:
        """Commit the spans of a branch from the `spans`-th on; participants have them already."""
        for span in branch.trace.since(spans):
            await self._emit(self.trace.commit(replace(span, index=self.trace.next_index)))
        self.units, self._recent = branch.units, branch._recent

    async def trim(self, characters: int, author: str) -> None:
        """Remove the last characters that `author` sees, which turned out to begin a stop string.

        The rest of a span that was cut is committed again, and so are spans that the author does
        not see.
        """
        kept: list[Span] = []
        while characters > 0 and self.trace.length:
            last = next(self.trace.backwards())
            await self.roll_back(Mark(self.trace.length - 1))
            if not last.is_visible_to(author):
                kept.append(last)
                continue
            left = max(len(last.text) - characters, 0)
            characters -= len(last.text) - left
            if left:
                kept.append(replace(last, text=last.text[:left]))
        for span in reversed(kept):
            await self._emit(self.trace.commit(replace(span, index=self.trace.next_index)))

    async def roll_back(self, mark: Mark) -> None:
        """Take the spans after `mark` out of the text, for all participants."""
        await self._emit(self.trace.rollback(mark))
        self.lowest = min(self.lowest, mark.spans)
        self._recent = [one for one in self._recent if one[0] < mark.spans]
        for participant in self._participants.values():
            participant.rollback(mark.spans)

    async def _commit_tokens(self, proposal: Proposal) -> None:
        if not proposal.tokens:
            return
        calls = self._participants[proposal.author].adopt(self.trace, proposal)
        kind: SpanKind = "draft" if proposal.author == GENERATOR else "consultation"
        span = Span(
            index=self.trace.next_index,
            author=proposal.author,
            text=proposal.text,
            tokens=len(proposal.tokens),
            kind=kind,
            calls=calls,
        )
        await self._emit(self.trace.commit(span))

    def _is_repeated(self, text: str) -> bool:
        """Take note of a unit; whether it is the last of too many equal ones in a row."""
        if not (limit := self._repeat_limit):
            return False
        self._recent.append((self.trace.length, text))
        last = [one for _, one in self._recent[-limit:]]
        return last == [text] * limit


async def emit_nothing(event: TraceEvent) -> None:
    """Drop an event: it stays in its trace."""
