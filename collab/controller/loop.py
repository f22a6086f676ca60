"""The way of one problem: draft, decide, consult, verify, commit; again until it ends."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar, assert_never

from collab.controller.concurrency import concurrently
from collab.controller.participant import Participant
from collab.decisions import Consult, Continue, Decision, Finish, Inject, Verify
from collab.errors import CollabError, PluginCallError
from collab.limits import BudgetReached
from collab.observability import log_event
from collab.proposals import Distribution, Proposal, Token, Until
from collab.protocols import Case, Draft, PolicySession, VerifierSession
from collab.recipes import Recipe
from collab.trace import (
    GENERATOR,
    Decided,
    Ended,
    Span,
    SpanKind,
    Trace,
    TraceEvent,
    Verified,
)
from collab.verdicts import NOBODY, Abstain, Verdict

Emit = Callable[[TraceEvent], Awaitable[None]]
T = TypeVar("T")

STRETCH_TOKENS = 64
"""Longest stretch drafted in one call when no question is near: what a failure can lose."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The sessions of one problem's plug-ins, with the names for errors and records."""

    policy: PolicySession
    verifiers: Sequence[tuple[str, VerifierSession]]
    policy_name: str


class ProblemLoop:
    """Works on one problem. Owns the trace's growth; all model calls go through participants."""

    def __init__(
        self,
        recipe: Recipe,
        plugins: Plugins,
        participants: Mapping[str, Participant],
        trace: Trace,
        emit: Emit,
    ) -> None:
        self._recipe = recipe
        self._plugins = plugins
        self._participants = participants
        self._generator = participants[GENERATOR]
        self._trace = trace
        self._emit = emit
        self._units = 0
        self._recent: list[str] = []

    async def run(self) -> str:
        """Work until the problem ends; return the reason."""
        reason = ""
        while not reason:
            try:
                reason = await self._turn()
            except BudgetReached as reached:
                reason = reached.reason
        await self._emit(self._trace.record(Ended(reason)))
        return reason

    # --- draft ------------------------------------------------------------------------------

    async def _turn(self) -> str:
        draft, reason = await self._draft()
        if draft is None:
            return reason
        decision = self._decide(draft)
        await self._emit(self._trace.record(Decided(decision, draft.text, draft.unit)))
        return await self._act(decision, draft)

    async def _draft(self) -> tuple[Draft | None, str]:
        """Write up to the next question; commit what comes before it.

        Returns:
            The unit to ask about, or `None` and why the problem ended before it.
        """
        units = self._ask_policy(self._plugins.policy.ahead)
        while True:
            room = self._room
            if room <= 0:
                return None, "length"
            cap = max(STRETCH_TOKENS, self._recipe.unit.max_tokens)
            until = Until(min(cap, room), self._recipe.unit, units, self._recipe.stop_strings)
            written = await self._generator.generate(
                self._trace, "draft", until, self._recipe.sampling
            )
            cuts, is_over = _unit_ends(written, is_capped=room > cap)
            asked = len(cuts) == units
            before = cuts[: units - 1]
            if reason := await self._commit_units(written, before):
                return None, reason
            start = before[-1] if before else 0
            if asked:
                draft = written.part(start, cuts[-1])
                return self._as_draft(draft, is_last=is_over), ""
            if is_over:
                return None, written.stop
            units -= len(cuts)

    def _as_draft(self, proposal: Proposal, *, is_last: bool) -> Draft:
        return Draft(proposal, self._units, self._trace.mark, self._trace.text, is_last)

    async def _commit_units(self, written: Proposal, cuts: Sequence[int]) -> str:
        """Commit the units that end at `cuts`, as one span; return why the problem ends, if so."""
        kept = 0
        repeated = False
        for start, end in pairwise([0, *cuts]):
            if repeated := self._is_repeated(written.part(start, end).text):
                break
            kept = end
            self._units += 1
        await self._commit_own(written.part(0, kept), "draft")
        return "repeat" if repeated else ""

    # --- decide -----------------------------------------------------------------------------

    def _decide(self, draft: Draft) -> Decision:
        decision: object = self._ask_policy(lambda: self._plugins.policy.decide(draft))
        if isinstance(decision, Decision):
            return decision
        raise PluginCallError(
            f"policy {self._plugins.policy_name!r} returned {decision!r} at unit {self._units}; "
            "expected one of Continue, Consult, Verify, Inject, Finish"
        )

    def _ask_policy(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:
            raise PluginCallError(
                f"policy {self._plugins.policy_name!r} raised at unit {self._units}: "
                f"{type(error).__name__}: {error}"
            ) from error

    async def _act(self, decision: Decision, draft: Draft) -> str:
        match decision:
            case Continue():
                return await self._commit_draft(draft)
            case Consult():
                return await self._consult(decision, draft)
            case Verify():
                return await self._verify_draft(decision, draft)
            case Inject():
                reason = await self._commit_draft(draft)
                await self._inject(decision)
                return reason
            case Finish():
                reason = await self._commit_draft(draft)
                return reason or (f"policy: {decision.why}" if decision.why else "policy")
            case _:
                assert_never(decision)

    # --- consult ----------------------------------------------------------------------------

    async def _consult(self, decision: Consult, draft: Draft) -> str:
        mentor = self._mentor(decision)
        if decision.back_to is not None:
            await self._roll_back(decision)
            return await self._redo(decision)
        mentor.check_budget()
        until = self._segment(decision)
        sampling = self._recipe.sampling

        async def look_ahead() -> Proposal:
            return await self._generator.generate(self._trace, "look-ahead", until, sampling)

        async def consult() -> Proposal:
            return await mentor.generate(self._trace, "consult", until, sampling)

        if self._reads_look_ahead:
            own, offered = await concurrently(look_ahead, consult)
        else:
            own, offered = draft.proposal, await consult()
        log_event(
            "consultation.finished",
            mentor=mentor.name,
            unit=draft.unit,
            mentor_tokens=len(offered.tokens),
        )
        proposals = {GENERATOR: own, mentor.name: offered}
        case = Case(draft, proposals, mentor.name, self._trace.text)
        verdict = await self._verify(
            case, default=GENERATOR if self._plugins.verifiers else mentor.name
        )
        if verdict.stands == NOBODY:
            return await self._redo(decision)
        return await self._commit_verdict(verdict, proposals, is_last=draft.is_last)

    @property
    def _reads_look_ahead(self) -> bool:
        return any(verifier.reads_look_ahead for verifier in self._recipe.verifiers)

    async def _verify_draft(self, decision: Verify, draft: Draft) -> str:
        case = Case(draft, {GENERATOR: draft.proposal}, "", self._trace.text)
        verdict = await self._verify(case, default=GENERATOR)
        if verdict.stands == NOBODY:
            return await self._redo(decision.redo)
        return await self._commit_draft(draft)

    async def _redo(self, decision: Consult) -> str:
        """Commit what the mentor writes from here, unverified."""
        mentor = self._mentor(decision)
        offered = await mentor.generate(
            self._trace, "consult", self._segment(decision), self._recipe.sampling
        )
        verdict = Verdict(mentor.name, why="redone")
        return await self._commit_verdict(verdict, {mentor.name: offered}, is_last=False)

    def _mentor(self, decision: Consult) -> Participant:
        if decision.mentor == GENERATOR or decision.mentor not in self._participants:
            mentors = ", ".join(sorted(set(self._participants) - {GENERATOR})) or "none"
            raise PluginCallError(
                f"policy {self._plugins.policy_name!r} asked for the mentor {decision.mentor!r}; "
                f"mentors of this pair: {mentors}"
            )
        return self._participants[decision.mentor]

    def _segment(self, decision: Consult) -> Until:
        segment = self._recipe.segment
        tokens = decision.max_tokens or segment.max_tokens
        stops = segment.stop_strings + self._recipe.stop_strings
        return replace(segment, max_tokens=min(tokens, self._room), stop_strings=stops)

    async def _roll_back(self, decision: Consult) -> None:
        mark = decision.back_to
        assert mark is not None, "only called with a mark"
        if not 0 <= mark.spans <= self._trace.length:
            raise PluginCallError(
                f"policy {self._plugins.policy_name!r} asked to go back to span {mark.spans}; "
                f"the trace has {self._trace.length}"
            )
        await self._emit(self._trace.rollback(mark))
        for participant in self._participants.values():
            participant.rollback(mark.spans)

    # --- verify -----------------------------------------------------------------------------

    async def _verify(self, case: Case, *, default: str) -> Verdict:
        texts = tuple((author, offered.text) for author, offered in case.proposals.items())
        verdict, name = Verdict(default, why="no verifier decided"), ""
        for candidate, session in self._plugins.verifiers:
            answer = await self._ask_verifier(candidate, session, case)
            if isinstance(answer, Verdict):
                verdict, name = answer, candidate
                break
        self._ask_policy(lambda: self._plugins.policy.learn(verdict))
        log_event("verdict.given", stands=verdict.stands, verifier=name, why=verdict.why)
        await self._emit(self._trace.record(Verified(verdict, name, texts)))
        return verdict

    async def _ask_verifier(
        self, name: str, session: VerifierSession, case: Case
    ) -> Verdict | Abstain:
        try:
            answer: object = await session.verify(case, self)
        except (CollabError, BudgetReached):
            raise
        except Exception as error:
            raise PluginCallError(
                f"verifier {name!r} raised at unit {self._units}: {type(error).__name__}: {error}"
            ) from error
        if isinstance(answer, Abstain):
            return answer
        if isinstance(answer, Verdict) and _is_within(answer, case):
            return answer
        raise PluginCallError(
            f"verifier {name!r} returned {answer!r} at unit {self._units}; expected Abstain or a "
            f"Verdict for one of {', '.join(case.proposals)}, within its length"
        )

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask a participant for label probabilities at the mark; see `Handles`."""
        return await self._participants[role].judge(self._trace, question, labels)

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask a participant for log-probabilities at the mark; see `Handles`."""
        return await self._participants[role].score(self._trace, text)

    # --- commit -----------------------------------------------------------------------------

    async def _commit_verdict(
        self, verdict: Verdict, proposals: Mapping[str, Proposal], *, is_last: bool
    ) -> str:
        winner = proposals[verdict.stands]
        part = winner.part(0, verdict.upto)
        if self._is_repeated(part.text):
            return "repeat"
        self._units += 1
        kind: SpanKind = "draft" if verdict.stands == GENERATOR else "consultation"
        await self._commit_own(part, kind)
        is_whole = len(part.tokens) == len(winner.tokens)
        ends = winner.stop in _FINAL_STOPS or (is_last and verdict.stands == GENERATOR)
        return winner.stop if is_whole and ends else ""

    async def _commit_draft(self, draft: Draft) -> str:
        if self._is_repeated(draft.text):
            return "repeat"
        self._units += 1
        await self._commit_own(draft.proposal, "draft")
        return draft.proposal.stop if draft.is_last else ""

    async def _commit_own(self, proposal: Proposal, kind: SpanKind) -> None:
        """Commit a proposal that starts at the head of its author."""
        if not proposal.tokens:
            return
        author = self._participants[proposal.author]
        calls = author.adopt(len(proposal.tokens))
        await self._commit(
            Span(
                index=self._trace.next_index,
                author=proposal.author,
                text=proposal.text,
                tokens=len(proposal.tokens),
                kind=kind,
                calls=calls,
            )
        )

    async def _inject(self, decision: Inject) -> None:
        span = Span(
            index=self._trace.next_index,
            author=f"policy:{self._plugins.policy_name}",
            text=decision.text,
            tokens=0,
            kind="injection",
            visible_to=decision.visible_to,
        )
        await self._commit(span)

    async def _commit(self, span: Span) -> None:
        await self._emit(self._trace.commit(span))

    # --- ends -------------------------------------------------------------------------------

    @property
    def _room(self) -> int:
        return self._recipe.max_answer_tokens - self._trace.tokens

    def _is_repeated(self, text: str) -> bool:
        """Take note of a unit; whether it is the last of too many equal ones in a row."""
        limit = self._recipe.repeat_limit
        self._recent = [*self._recent, text][-limit:] if limit else []
        return limit > 0 and self._recent == [text] * limit


_FINAL_STOPS = frozenset({"eos", "stop_string", "context"})


def _unit_ends(written: Proposal, *, is_capped: bool) -> tuple[list[int], bool]:
    """Return where the units of a draft end, and whether the text is over with them.

    When the text is over, an incomplete unit at its end counts as one. When only the stretch's
    cap was reached (`is_capped`), it does not: it is written on in the next call.
    """
    cuts = list(written.cuts)
    is_over = written.stop in _FINAL_STOPS or (written.stop == "length" and not is_capped)
    if is_over and len(written.tokens) > (cuts[-1] if cuts else 0):
        cuts.append(len(written.tokens))
    return cuts, is_over


def _is_within(verdict: Verdict, case: Case) -> bool:
    if verdict.stands == NOBODY:
        return True
    if verdict.stands not in case.proposals:
        return False
    length = len(case.proposals[verdict.stands].tokens)
    return verdict.upto is None or 0 <= verdict.upto <= length
