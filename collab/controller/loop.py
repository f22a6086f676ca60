"""The default strategy: draft, decide, consult, verify, commit; again until the text is over."""

from contextlib import suppress
from dataclasses import replace
from typing import assert_never

import anyio.lowlevel

from collab.controller.consulting import Consultant
from collab.controller.desk import ProblemDesk
from collab.controller.drafting import Drafter
from collab.controller.guarded import PluginSessions
from collab.decisions import Consult, Continue, Decision, Finish, Inject, Verify
from collab.endings import Ending
from collab.errors import PluginCallError
from collab.protocols import Draft
from collab.recipes import Recipe
from collab.trace import Decided

TURNS_PER_TOKEN = 4
"""Turns that a problem may take for each token of its longest answer. A turn commits at least one
unless a policy takes text back, so only one that does so again and again gets there."""


class ThreeStageLoop:
    """Works on one problem with a recipe's policy, verifiers and steerer."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    async def run(self, desk: ProblemDesk) -> Ending:
        """Work until the text, or its thinking, is over; return why."""
        plugins = PluginSessions.start(self._recipe, desk.problem, desk.rng)
        try:
            ending = await _Loop(self._recipe, plugins, desk).run()
        except BaseException:
            # The first error, or a cancellation, matters more than what `kept` raises.
            with suppress(PluginCallError):
                _keep(plugins, desk)
            raise
        _keep(plugins, desk)
        return ending


def _keep(plugins: PluginSessions, desk: ProblemDesk) -> None:
    """Hand what the plug-ins keep to the caller."""
    for name, value in plugins.kept():
        desk.keep(name, value)


class _Loop:
    def __init__(self, recipe: Recipe, plugins: PluginSessions, desk: ProblemDesk) -> None:
        self._max_turns = TURNS_PER_TOKEN * recipe.max_answer_tokens
        self._plugins = plugins
        self._desk = desk
        self._drafter = Drafter(recipe, plugins, desk)
        self._consultant = Consultant(recipe, plugins, desk)
        self._has_draft = True

    async def run(self) -> Ending:
        for _ in range(self._max_turns):
            # Neither a fake nor a policy that only takes back may keep the event loop.
            await anyio.lowlevel.checkpoint()
            if ending := await self._turn():
                return ending
        return Ending("turns")

    async def _turn(self) -> Ending | None:
        question = await self._drafter.draft()
        if isinstance(question, Ending):
            return question
        draft = question.draft
        decision = question.answer or self._plugins.decide(draft)
        await self._desk.record(Decided(decision, draft.text, draft.unit))
        # Of a unit that was given up as it began, nothing is written yet.
        self._has_draft = question.answer is None
        return await self._act(decision, draft)

    async def _act(self, decision: Decision, draft: Draft) -> Ending | None:
        match decision:
            case Continue():
                return await self._commit(draft)
            case Consult():
                return await self._consult(decision, draft)
            case Verify():
                return await self._consultant.verify(decision, draft)
            case Inject():
                ending = await self._commit(draft)
                author = f"policy:{self._plugins.policy_name}"
                await self._desk.put_in(decision.text, author, decision.visible_to)
                return ending
            case Finish():
                return await self._commit(draft) or Ending("policy", decision.why)
            case _:
                assert_never(decision)

    async def _commit(self, draft: Draft) -> Ending | None:
        return await self._consultant.commit_draft(draft)

    async def _consult(self, decision: Consult, draft: Draft) -> Ending | None:
        """Have mentors asked, after as much of the draft as the decision keeps."""
        self._consultant.ensure_mentors(decision)
        if decision.back_to is not None:
            await self._desk.roll_back(decision.back_to)
            return await self._consultant.redo(decision)
        if decision.keep:
            kept = self._plugins.kept_of(decision, draft)
            if ending := await self._desk.commit(kept):
                return ending
            rest = draft.proposal.part(decision.keep)
            draft = replace(
                draft, proposal=rest, mark=self._desk.mark, answer=self._desk.text, beyond=()
            )
        has_answer, ending = await self._consultant.consult(decision, draft)
        if has_answer or ending is not None:
            return ending
        if self._has_draft:
            return await self._commit(draft)
        self._drafter.leave_next_alone()
        return None
