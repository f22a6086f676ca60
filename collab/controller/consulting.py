"""Consulting: mentors propose, the generator looks ahead, a verifier says what stands."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from collab.concurrency import together
from collab.controller.desk import ProblemDesk
from collab.controller.guarded import PluginSessions
from collab.controller.narrow import NarrowDesk
from collab.decisions import Consult, Continue, Verify
from collab.endings import Ending
from collab.errors import PluginCallError
from collab.proposals import Proposal, Until
from collab.protocols import Case, Draft
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.telemetry.events import log_event
from collab.trace import Verified
from collab.verdicts import NOBODY, Verdict


class Consultant:
    """Asks mentors and verifiers about one problem's drafts, and commits what stands."""

    def __init__(self, recipe: Recipe, plugins: PluginSessions, desk: ProblemDesk) -> None:
        self._recipe = recipe
        self._plugins = plugins
        self._desk = desk
        self._narrow = NarrowDesk(desk)

    async def commit_draft(self, draft: Draft) -> Ending | None:
        """Commit a draft as it is; return why the text is over with it, if it is."""
        ending = await self._desk.commit(draft.proposal)
        if ending is None and draft.is_last:
            return self._desk.bounds.ending(draft.proposal)
        return ending

    async def consult(self, decision: Consult, draft: Draft) -> tuple[bool, Ending | None]:
        """Ask mentors and commit what stands.

        Returns:
            Whether what stands says anything, and why the text is over, if it is.
        """
        own, offered = await self._propose(decision, draft)
        log_event(
            "consultation.finished",
            mentor=", ".join(decision.asked),
            unit=draft.unit,
            mentor_tokens=sum(len(one.tokens) for one in offered),
        )
        case = self._case(draft, (own, *offered), decision.asked[0])
        default = GENERATOR if self._plugins.has_verifiers else decision.asked[0]
        verdict = await self._verdict(case, default=default)
        if verdict.stands == NOBODY:
            return True, await self._instead_of(decision, draft)
        winner = case.of(verdict.stands)[verdict.choice]
        # At its very beginning, an end of text is no answer but a mentor that says nothing.
        is_nothing = not self._desk.bounds.is_final(winner) or not self._desk.text
        if not winner.tokens and is_nothing:
            return False, None
        ending = await self._desk.commit(winner, upto=verdict.upto)
        is_whole = verdict.upto in (None, len(winner.tokens))
        # A segment can be shorter than the draft, whose end is then not reached.
        is_end = draft.is_last and len(own.tokens) >= len(draft.tokens)
        if ending is None and verdict.stands == GENERATOR and is_whole and is_end:
            ending = self._desk.bounds.ending(draft.proposal)
        return True, ending

    async def verify(self, decision: Verify, draft: Draft) -> Ending | None:
        """Ask the verifiers about a draft itself; a mentor redoes what of it does not stand."""
        case = self._case(draft, (draft.proposal,), "")
        verdict = await self._verdict(case, default=GENERATOR)
        if verdict.stands == NOBODY:
            return await self.redo(decision.redo)
        if verdict.upto is None or verdict.upto == len(draft.tokens):
            return await self.commit_draft(draft)
        ending = await self._desk.commit(draft.proposal, upto=verdict.upto)
        return ending or await self.redo(decision.redo)

    async def redo(self, decision: Consult) -> Ending | None:
        """Commit what the mentor writes from here, unverified."""
        self.ensure_mentors(decision)
        offered = await self._desk.write(
            decision.asked[0], self._segment(decision), purpose="consult"
        )
        return await self._desk.commit(offered)

    def ensure_mentors(self, decision: Consult) -> None:
        """Raise `PluginCallError` if the policy asks for somebody who is no mentor."""
        mentors = self._desk.mentors
        if strange := [name for name in decision.asked if name not in mentors]:
            raise PluginCallError(
                f"policy {self._plugins.policy_name!r} asked for the mentor {strange[0]!r}; "
                f"mentors of this pair: {', '.join(sorted(mentors)) or 'none'}"
            )
        if len(set(decision.asked)) < len(decision.asked):
            raise PluginCallError(
                f"policy {self._plugins.policy_name!r} asked one mentor twice: "
                f"{', '.join(decision.asked)}; for several proposals of one, give `n`"
            )

    # --- proposals --------------------------------------------------------------------------

    async def _propose(
        self, decision: Consult, draft: Draft
    ) -> tuple[Proposal, Sequence[Proposal]]:
        """Return what the generator and the mentors would write from the mark.

        The generator looks ahead while the mentors write, unless no verifier reads that.
        """
        for mentor in decision.asked:
            self._desk.check_budget(mentor)
        until = self._segment(decision)
        enough = self._plugins.until_settled(until, draft)

        async def look_ahead() -> Sequence[Proposal]:
            return [await self._desk.write(GENERATOR, until, purpose="look-ahead")]

        async def consult(mentor: str) -> Sequence[Proposal]:
            if decision.n == 1:
                return [await self._desk.write(mentor, enough, purpose="consult")]
            return await self._desk.write_many(mentor, decision.n, until, purpose="consult")

        calls: list[Callable[[], Awaitable[Sequence[Proposal]]]]
        calls = [partial(consult, mentor) for mentor in decision.asked]
        if not any(verifier.reads_look_ahead for verifier in self._recipe.verifiers):
            return draft.proposal, [one for many in await together(calls) for one in many]
        own, *offered = await together([look_ahead, *calls])
        return own[0], [one for many in offered for one in many]

    def _segment(self, decision: Consult) -> Until:
        segment = self._recipe.segment
        return replace(segment, max_tokens=decision.max_tokens or segment.max_tokens)

    async def _instead_of(self, refused: Consult, draft: Draft) -> Ending | None:
        """Do what is to be done after a consultation of which no proposal stands."""
        redo = refused.redo
        if isinstance(redo, Continue):
            return await self.commit_draft(draft)
        if redo is None or redo.mentor in refused.asked:
            raise PluginCallError(
                "the verifier let no proposal stand, and policy "
                f"{self._plugins.policy_name!r} names no other mentor than "
                f"{' and '.join(map(repr, refused.asked))} to ask then; give its Consult a `redo`"
            )
        return await self.redo(redo)

    # --- verdicts ---------------------------------------------------------------------------

    def _case(self, draft: Draft, proposals: tuple[Proposal, ...], mentor: str) -> Case:
        return Case(draft, proposals, mentor, self._desk.text, self._desk.thinking)

    async def _verdict(self, case: Case, *, default: str) -> Verdict:
        verdict, verifier = await self._plugins.verify(case, self._narrow, default=default)
        self._plugins.learn(verdict, case.draft.unit)
        log_event("verdict.given", stands=verdict.stands, verifier=verifier, why=verdict.why)
        texts = tuple((offered.author, offered.text) for offered in case.proposals)
        await self._desk.record(Verified(verdict, verifier, texts))
        return verdict
