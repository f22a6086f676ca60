"""Drafting: the generator writes up to the next question, and what comes before it is committed."""

from collections.abc import Sequence
from dataclasses import dataclass

from collab.controller.bounds import Bounds
from collab.controller.committer import Committer
from collab.controller.glimpse import Glimpse
from collab.controller.guarded import PluginSessions
from collab.controller.participant import Participant
from collab.decisions import Consult
from collab.proposals import Proposal, Token, Until
from collab.protocols import Draft
from collab.recipes import Recipe
from collab.roles import GENERATOR
from collab.signals import Steering

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

    def __init__(
        self,
        recipe: Recipe,
        plugins: PluginSessions,
        generator: Participant,
        committer: Committer,
        bounds: Bounds,
    ) -> None:
        self._recipe = recipe
        self._plugins = plugins
        self._generator = generator
        self._committer = committer
        self._trace = committer.trace
        self._bounds = bounds
        self._is_undisturbed = False
        self._steering: Steering | None = None

    def steer(self, steering: Steering | None) -> None:
        """Have this added to the generator's hidden states from here on."""
        if steering != self._steering:
            self._generator.steer(self._trace, steering)
            self._steering = steering

    def leave_next_alone(self) -> None:
        """Have the next unit written without a glimpse: a mentor had nothing to say to it."""
        self._is_undisturbed = True

    async def draft(self) -> Question | str:
        """Write up to the next question; commit what comes before it.

        Returns:
            The question, or why the text ended before it.
        """
        self._ask_steerer()
        units = self._plugins.ahead(self._committer.units)
        glimpse = self._glimpse() if units == 1 else None
        if glimpse and self._bounds.room > 0 and (wish := glimpse.begin()):
            return Question(
                self._as_draft(Proposal(GENERATOR, (), "length"), is_partial=True), wish
            )
        while (room := self._bounds.room) > 0:
            cap = max(STRETCH_TOKENS, self._recipe.unit.max_tokens)
            together = min(units, self._plugins.steered_ahead())
            until = Until(min(cap, room), self._recipe.unit, together, self._bounds.stops, glimpse)
            written = await self._generator.generate(
                self._trace, "draft", until, self._recipe.sampling
            )
            if glimpse and (wish := glimpse.finish(written.tokens)):
                return Question(self._as_draft(written, is_partial=True), wish)
            cuts, is_over = self._bounds.unit_ends(written, is_capped=room > cap)
            before = cuts[: units - 1]
            if not await self._committer.commit_units(written, before):
                return "repeat"
            if len(cuts) == units:
                asked = written.part(before[-1] if before else 0, cuts[-1])
                beyond = () if is_over else await self._look_beyond(len(asked.tokens))
                return Question(self._as_draft(asked, is_last=is_over, beyond=beyond))
            if is_over:
                await self._committer.trim(written.stop_overlap)
                return self._bounds.reason(written)
            units -= len(cuts)
            self._ask_steerer()
        return "length"

    def _ask_steerer(self) -> None:
        self.steer(self._plugins.steering(self._trace.text))

    def _glimpse(self) -> Glimpse | None:
        tokens = None if self._is_undisturbed else self._plugins.glimpse(self._committer.units)
        self._is_undisturbed = False
        if tokens is None:
            return None

        def draft_of(first: Sequence[Token]) -> Draft:
            return self._as_draft(Proposal(GENERATOR, tuple(first), "length"), is_partial=True)

        return Glimpse(self._plugins, tokens, draft_of)

    async def _look_beyond(self, tokens: int) -> tuple[Token, ...]:
        """Return what the generator writes behind its draft, if the policy wants to see it."""
        wanted = self._recipe.policy.looks_beyond if self._generator.is_observed else 0
        if wanted < 1:
            return ()
        until = Until(tokens + wanted, stop_strings=self._bounds.stops)
        # Not a look-ahead: nobody writes beside it, so its time is the draft's.
        written = await self._generator.generate(self._trace, "draft", until, self._recipe.sampling)
        return written.tokens[tokens:]

    def _as_draft(
        self,
        proposal: Proposal,
        *,
        is_last: bool = False,
        is_partial: bool = False,
        beyond: tuple[Token, ...] = (),
    ) -> Draft:
        unit, mark, answer = self._committer.units, self._trace.mark, self._trace.text
        kind = self._recipe.unit
        return Draft(proposal, unit, mark, answer, is_last, is_partial, beyond, kind)
