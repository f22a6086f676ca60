"""The way of one problem: draft, decide, consult, verify, commit; again until it ends.

With phases, what ends the thinking begins the answer; see `collab.phases`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

import anyio.lowlevel

from collab.concurrency import concurrently
from collab.controller.bounds import THOUGHT, Bounds
from collab.controller.committer import Committer
from collab.controller.drafting import Drafter
from collab.controller.guarded import PluginSessions
from collab.controller.participant import Participant
from collab.decisions import Consult, Continue, Decision, Finish, Inject, Verify
from collab.errors import PluginCallError
from collab.limits import BudgetReached
from collab.phases import Phases
from collab.proposals import Distribution, Proposal, Token, Until
from collab.protocols import Case, Draft
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.telemetry.events import log_event
from collab.trace import Decided, SpanKind, Trace, Verified
from collab.verdicts import NOBODY, Verdict

TURNS_PER_TOKEN = 4
"""Turns that a problem may take for each token of its longest answer. A turn commits at least one
unless a policy takes text back, so only one that does so again and again gets there."""

_ENDS_OF_THINKING = frozenset({THOUGHT, "repeat", "length", "turns"})


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
        self._bounds = Bounds(recipe, committer.trace)
        self._drafter = Drafter(recipe, plugins, self._generator, committer, self._bounds)

    async def run(self) -> str:
        """Work until the problem ends; return the reason."""
        try:
            reason = await self._write()
            phases = self._recipe.phases
            if phases is not None and reason in _ENDS_OF_THINKING:
                return await self._answer(phases, reason)
        except BudgetReached as reached:
            return reached.reason
        return reason

    async def _write(self) -> str:
        for _ in range(TURNS_PER_TOKEN * self._recipe.max_answer_tokens):
            # Neither a fake nor a policy that only takes back may keep the event loop.
            await anyio.lowlevel.checkpoint()
            if reason := await self._turn():
                return reason
        return "turns"

    async def _answer(self, phases: Phases, thought: str) -> str:
        """Close the thinking and have one participant write the answer."""
        self._drafter.steer(None)
        closing = Inject(phases.closing(self._trace.text), why=thought)
        await self._committer.inject(closing, "phases")
        writer = self._participants[phases.answer_by]
        until = Until(phases.answer_tokens, stop_strings=self._recipe.stop_strings)
        written = await writer.generate(self._trace, "answer", until, self._recipe.sampling)
        await self._committer.commit_answer(written)
        await self._committer.trim(written.stop_overlap)
        return written.stop

    @property
    def _trace(self) -> Trace:
        return self._committer.trace

    # --- draft and decide -------------------------------------------------------------------

    async def _turn(self) -> str:
        question = await self._drafter.draft()
        if isinstance(question, str):
            return question
        draft = question.draft
        decision = question.answer or self._plugins.decide(draft)
        await self._committer.record(Decided(decision, draft.text, draft.unit))
        return await self._act(decision, draft)

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
        return self._bounds.reason(draft.proposal) if draft.is_last else ""

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
        case = Case(
            draft,
            MappingProxyType(proposals),
            mentor.name,
            self._trace.text,
            self._generator.thinking,
        )
        default = GENERATOR if self._plugins.has_verifiers else mentor.name
        verdict = await self._verify(case, default=default)
        if verdict.stands == NOBODY:
            return await self._redo(self._instead_of(decision))
        winner = proposals[verdict.stands]
        # At its very beginning, an end of text is no answer but a mentor that says nothing.
        is_nothing = not self._bounds.is_final(winner) or not self._trace.text
        if not winner.tokens and is_nothing:
            if draft.is_partial:
                self._drafter.leave_next_alone()
                return ""
            return await self._commit_draft(draft)
        # A segment can be shorter than the draft, whose end is then not reached.
        is_end = draft.is_last and len(own.tokens) >= len(draft.proposal.tokens)
        end = self._bounds.reason(draft.proposal) if is_end else ""
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
            enough = self._plugins.until_settled(until, draft)
            return await mentor.generate(self._trace, "consult", enough, sampling)

        if any(verifier.reads_look_ahead for verifier in self._recipe.verifiers):
            return await concurrently(look_ahead, consult)
        return draft.proposal, await consult()

    async def _verify_draft(self, decision: Verify, draft: Draft) -> str:
        case = Case(
            draft, {GENERATOR: draft.proposal}, "", self._trace.text, self._generator.thinking
        )
        verdict = await self._verify(case, default=GENERATOR)
        if verdict.stands == NOBODY:
            return await self._redo(decision.redo)
        if verdict.upto is None or verdict.upto == len(draft.tokens):
            return await self._commit_draft(draft)
        if not await self._committer.commit(draft.proposal.part(0, verdict.upto), "draft"):
            return "repeat"
        return await self._redo(decision.redo)

    async def _redo(self, decision: Consult) -> str:
        """Commit what the mentor writes from here, unverified."""
        mentor = self._mentor(decision)
        offered = await mentor.generate(
            self._trace, "consult", self._segment(decision), self._recipe.sampling
        )
        verdict = Verdict(mentor.name, why="redone")
        return await self._commit_verdict(verdict, {mentor.name: offered})

    def _instead_of(self, refused: Consult) -> Consult:
        """Return the consultation to make after one of which no proposal stands."""
        if refused.redo is None or refused.redo.mentor == refused.mentor:
            raise PluginCallError(
                f"the verifier let nobody stand, and policy {self._plugins.policy_name!r} names no "
                f"other mentor than {refused.mentor!r} to ask then; give its Consult a `redo`"
            )
        return refused.redo

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
        stops = segment.stop_strings + self._bounds.stops
        return replace(segment, max_tokens=min(tokens, self._bounds.room), stop_strings=stops)

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
        if self._bounds.is_final(proposal):
            return replace(proposal.part(len(proposal.tokens)), author=role)
        room = min(max_tokens, self._bounds.left - len(proposal.tokens))
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
        await self._committer.trim(winner.stop_overlap if self._bounds.is_final(winner) else 0)
        if len(part.tokens) < len(winner.tokens):
            return ""
        if self._bounds.is_final(winner):
            return self._bounds.reason(winner)
        return own_end if verdict.stands == GENERATOR else ""
