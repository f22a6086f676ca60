"""Drafting: the generator writes up to the next question, and what comes before it is committed."""

from collections.abc import Sequence
from dataclasses import dataclass

from collab.controller.desk import ProblemDesk
from collab.controller.glimpse import Glimpse
from collab.controller.guarded import PluginSessions
from collab.controller.watching import Watcher
from collab.decisions import Consult
from collab.endings import Ending
from collab.proposals import Proposal, Token, Until
from collab.protocols import Draft
from collab.recipes import Recipe
from collab.roles import GENERATOR

STRETCH_TOKENS = 64
"""Longest stretch drafted in one call when no question is near: what a failure can lose."""


@dataclass(frozen=True, slots=True)
class Question:
    """Where the policy comes in.

    Attributes:
        draft: The unit to ask about.
        answer: What the policy has wished already, when it saw the unit begin.
    """

    draft: Draft
    answer: Consult | None = None


class Drafter:
    """Writes one problem's drafts."""

    def __init__(self, recipe: Recipe, plugins: PluginSessions, desk: ProblemDesk) -> None:
        self._recipe = recipe
        self._plugins = plugins
        self._desk = desk
        self._is_undisturbed = False

    def leave_next_alone(self) -> None:
        """Have the next unit written without a glimpse: a mentor had nothing to say to it."""
        self._is_undisturbed = True

    async def draft(self) -> Question | Ending:
        """Write up to the next question; commit what comes before it.

        Returns:
            The question, or why the text ended before it.
        """
        self._steer()
        units = self._plugins.ahead(self._desk.units)
        glimpse = self._glimpse() if units == 1 else None
        if glimpse and self._desk.room > 0 and (wish := glimpse.begin()):
            return Question(
                self._as_draft(Proposal(GENERATOR, (), "length"), is_partial=True), wish
            )
        if units == 1 and self._plugins.is_watching:
            return await self._watched(glimpse)
        while (room := self._desk.room) > 0:
            cap = max(STRETCH_TOKENS, self._recipe.unit.max_tokens)
            together = min(units, self._plugins.steered_ahead())
            written = await self._desk.write(
                GENERATOR, Until(min(cap, room), self._recipe.unit, together, stop_if=glimpse)
            )
            if glimpse and (wish := glimpse.finish(written.tokens)):
                return Question(self._as_draft(written, is_partial=True), wish)
            cuts, is_over = self._desk.bounds.unit_ends(written, is_capped=room > cap)
            before = cuts[: units - 1]
            ending = await self._commit(written, before)
            if ending is not None:
                return ending
            if len(cuts) == units:
                asked = written.part(before[-1] if before else 0, cuts[-1])
                beyond = () if is_over else await self._look_beyond(len(asked.tokens))
                return Question(self._as_draft(asked, is_last=is_over, beyond=beyond))
            if is_over:
                return await self._end(written)
            units -= len(cuts)
            self._steer()
        return Ending("length")

    async def _watched(self, glimpse: Glimpse | None) -> Question | Ending:
        """Write one unit while the policy watches; it may end it early."""
        if (room := self._desk.room) <= 0:
            return Ending("length")
        unit = self._recipe.unit
        watcher = Watcher(self._plugins, self._desk.units, glimpse)
        most = min(unit.max_tokens, room)
        written = await self._desk.write(GENERATOR, Until(most, unit, stop_if=watcher))
        watcher.raise_error()
        if glimpse and (wish := glimpse.finish(written.tokens)):
            return Question(self._as_draft(written, is_partial=True), wish)
        is_over = self._desk.bounds.is_final(written) or len(written.tokens) >= room
        if not written.tokens:
            return await self._end(written)
        is_partial = written.stop == "predicate"
        return Question(self._as_draft(written, is_last=is_over, is_partial=is_partial))

    async def _commit(self, written: Proposal, cuts: Sequence[int]) -> Ending | None:
        """Commit the units of a stretch before the one to ask about."""
        if not cuts:
            return None
        part = written.part(0, cuts[-1])
        # Only what follows them may end the text.
        is_all = len(part.tokens) == len(written.tokens)
        return await self._desk.commit(written, upto=None if is_all else cuts[-1], cuts=cuts)

    async def _end(self, written: Proposal) -> Ending:
        """Commit a text's end, where no token is left to ask about."""
        rest = written.part(len(written.tokens))
        return await self._desk.commit(rest, cuts=()) or self._desk.bounds.ending(written)

    def _steer(self) -> None:
        self._desk.steer(self._plugins.steering(self._desk.text))

    def _glimpse(self) -> Glimpse | None:
        tokens = None if self._is_undisturbed else self._plugins.glimpse(self._desk.units)
        self._is_undisturbed = False
        if tokens is None:
            return None

        def draft_of(first: Sequence[Token]) -> Draft:
            return self._as_draft(Proposal(GENERATOR, tuple(first), "length"), is_partial=True)

        return Glimpse(self._plugins, tokens, draft_of)

    async def _look_beyond(self, tokens: int) -> tuple[Token, ...]:
        """Return what the generator writes after its draft, if the policy wants to see it."""
        wanted = self._recipe.policy.looks_beyond if self._desk.is_observed else 0
        if wanted < 1:
            return ()
        return await self._desk.look_beyond(tokens, wanted)

    def _as_draft(
        self,
        proposal: Proposal,
        *,
        is_last: bool = False,
        is_partial: bool = False,
        beyond: tuple[Token, ...] = (),
    ) -> Draft:
        desk = self._desk
        return Draft(
            proposal,
            desk.units,
            desk.mark,
            desk.text,
            is_last,
            is_partial,
            beyond,
            kind=self._recipe.unit,
            mentor_tokens=desk.mentor_tokens,
        )
