"""The way of one problem: draft, decide, consult, verify, commit; again until it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import assert_never

import anyio.lowlevel

from collab.concurrency import concurrently
from collab.controller.committer import Committer
from collab.controller.participant import Participant
from collab.controller.plugins import PluginSessions
from collab.decisions import Consult, Continue, Decision, Finish, Inject, Verify
from collab.errors import PluginCallError
from collab.limits import BudgetReached
from collab.observability import log_event
from collab.proposals import Distribution, Proposal, Token, Until
from collab.protocols import Case, Draft
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.trace import Decided, SpanKind, Trace, Verified
from collab.verdicts import NOBODY, Verdict

STRETCH_TOKENS = 64
"""Longest stretch drafted in one call when no question is near: what a failure can lose."""

TURNS_PER_TOKEN = 4
"""Turns that a problem may take for each token of its longest answer. A turn commits at least one
unless a policy takes text back, so only one that does so again and again gets there."""

_FINAL_STOPS = frozenset({"eos", "stop_string", "context"})


class ProblemLoop:
    """Works on one problem; models are called through participants only."""

    def __init__(
        self,
        recipe: Recipe,
        plugins: PluginSessions,
        participants: Mapping[str, Participant],
        committer: Committer,
    ) -> None:
        self._recipe = recipe
        self._plugins = plugins
        self._participants = participants
        self._generator = participants[GENERATOR]
        self._committer = committer

    async def run(self) -> str:
        """Work until the problem ends; return the reason."""
        turns = TURNS_PER_TOKEN * self._recipe.max_answer_tokens
        try:
            for _ in range(turns):
                # Neither a fake nor a policy that only takes back may keep the event loop.
                await anyio.lowlevel.checkpoint()
                if reason := await self._turn():
                    return reason
        except BudgetReached as reached:
            return reached.reason
        return "turns"

    @property
    def _trace(self) -> Trace:
        return self._committer.trace

    @property
    def _room(self) -> int:
        return self._recipe.max_answer_tokens - self._trace.tokens

    # --- draft and decide -------------------------------------------------------------------

    async def _turn(self) -> str:
        draft, reason = await self._draft()
        if draft is None:
            return reason
        decision = self._plugins.decide(draft)
        await self._committer.record(Decided(decision, draft.text, draft.unit))
        return await self._act(decision, draft)

    async def _draft(self) -> tuple[Draft | None, str]:
        """Write up to the next question; commit what comes before it.

        Returns:
            The unit to ask about, or `None` and why the problem ended before it.
        """
        units = self._plugins.ahead(self._committer.units)
        while (room := self._room) > 0:
            cap = max(STRETCH_TOKENS, self._recipe.unit.max_tokens)
            until = Until(min(cap, room), self._recipe.unit, units, self._recipe.stop_strings)
            written = await self._generator.generate(
                self._trace, "draft", until, self._recipe.sampling
            )
            cuts, is_over = _unit_ends(written, is_capped=room > cap)
            before = cuts[: units - 1]
            if not await self._committer.commit_units(written, before):
                return None, "repeat"
            if len(cuts) == units:
                asked = written.part(before[-1] if before else 0, cuts[-1])
                return self._as_draft(asked, is_last=is_over), ""
            if is_over:
                await self._committer.trim(written.stop_overlap)
                return None, written.stop
            units -= len(cuts)
        return None, "length"

    def _as_draft(self, proposal: Proposal, *, is_last: bool) -> Draft:
        return Draft(proposal, self._committer.units, self._trace.mark, self._trace.text, is_last)

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
                await self._committer.inject(decision, f"policy:{self._plugins.policy_name}")
                return reason
            case Finish():
                reason = await self._commit_draft(draft)
                return reason or (f"policy: {decision.why}" if decision.why else "policy")
            case _:
                assert_never(decision)

    async def _commit_draft(self, draft: Draft) -> str:
        if not await self._committer.commit(draft.proposal, "draft"):
            return "repeat"
        return draft.proposal.stop if draft.is_last else ""

    # --- consult ----------------------------------------------------------------------------

    async def _consult(self, decision: Consult, draft: Draft) -> str:
        mentor = self._mentor(decision)
        if decision.back_to is not None:
            await self._roll_back(decision)
            return await self._redo(decision)
        own, offered = await self._propose(decision, draft, mentor)
        log_event(
            "consultation.finished",
            mentor=mentor.name,
            unit=draft.unit,
            mentor_tokens=len(offered.tokens),
        )
        proposals = {GENERATOR: own, mentor.name: offered}
        case = Case(draft, MappingProxyType(proposals), mentor.name, self._trace.text)
        default = GENERATOR if self._plugins.has_verifiers else mentor.name
        verdict = await self._verify(case, default=default)
        if verdict.stands == NOBODY:
            return await self._redo(decision)
        winner = proposals[verdict.stands]
        if not winner.tokens and not self._is_final(winner):
            return await self._commit_draft(draft)
        # A segment can be shorter than the draft, whose end is then not reached.
        is_end = draft.is_last and len(own.tokens) >= len(draft.proposal.tokens)
        end = draft.proposal.stop if is_end else ""
        return await self._commit_verdict(verdict, proposals, own_end=end)

    async def _propose(
        self, decision: Consult, draft: Draft, mentor: Participant
    ) -> tuple[Proposal, Proposal]:
        """Return what the generator and the mentor would write from the mark.

        The generator looks ahead while the mentor writes, unless no verifier reads that.
        """
        mentor.check_budget()
        until, sampling = self._segment(decision), self._recipe.sampling

        async def look_ahead() -> Proposal:
            return await self._generator.generate(self._trace, "look-ahead", until, sampling)

        async def consult() -> Proposal:
            enough = replace(until, stop_if=partial(self._plugins.is_settled, draft))
            return await mentor.generate(self._trace, "consult", enough, sampling)

        if any(verifier.reads_look_ahead for verifier in self._recipe.verifiers):
            return await concurrently(look_ahead, consult)
        return draft.proposal, await consult()

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
        return await self._commit_verdict(verdict, {mentor.name: offered})

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
        await self._committer.roll_back(mark)

    # --- verify -----------------------------------------------------------------------------

    async def _verify(self, case: Case, *, default: str) -> Verdict:
        verdict, verifier = await self._plugins.verify(case, self, default=default)
        self._plugins.learn(verdict, case.draft.unit)
        log_event("verdict.given", stands=verdict.stands, verifier=verifier, why=verdict.why)
        texts = tuple((author, offered.text) for author, offered in case.proposals.items())
        await self._committer.record(Verified(verdict, verifier, texts))
        return verdict

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask a participant for label probabilities at the mark; see `Handles`."""
        return await self._participants[role].judge(self._trace, question, labels)

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask a participant for log-probabilities at the mark; see `Handles`."""
        return await self._participants[role].score(self._trace, text)

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        """Read a participant's hidden state behind `text` at the mark; see `Handles`."""
        return await self._participants[role].observe(self._trace, text, layer)

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        """Have a participant write on behind a proposal, on a fork; see `Handles`."""
        if self._is_final(proposal):
            return replace(proposal.part(len(proposal.tokens)), author=role)
        room = min(max_tokens, self._room - len(proposal.tokens))
        if room < 1:
            return Proposal(role, (), "length")
        until = Until(room, stop_strings=self._recipe.stop_strings)
        return await self._participants[role].roll_out(
            self._trace, proposal, until, self._recipe.sampling, seed=seed
        )

    async def _commit_verdict(
        self, verdict: Verdict, proposals: Mapping[str, Proposal], *, own_end: str = ""
    ) -> str:
        """Commit what stands and return why the text is over behind it, if it is.

        `own_end` says why it is known to be over behind the generator's proposal.
        """
        winner = proposals[verdict.stands]
        part = winner.part(0, verdict.upto)
        kind: SpanKind = "draft" if verdict.stands == GENERATOR else "consultation"
        if not await self._committer.commit(part, kind):
            return "repeat"
        await self._committer.trim(winner.stop_overlap if self._is_final(winner) else 0)
        if len(part.tokens) < len(winner.tokens):
            return ""
        if self._is_final(winner):
            return winner.stop
        return own_end if verdict.stands == GENERATOR else ""

    def _is_final(self, proposal: Proposal) -> bool:
        """Whether the text is over behind it: a segment's own stop strings end only the segment."""
        if proposal.stop == "stop_string":
            return proposal.stop_string in self._recipe.stop_strings
        return proposal.stop in _FINAL_STOPS


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
