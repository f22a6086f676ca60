"""Strategies: who writes what, as an async function of a desk.

The three-stage loop of draft, decision, consultation and verification is the default strategy. A
method that this loop cannot hold is a strategy of its own: it drives the models itself, and the
desk bounds, records, seeds and cancels what it does.
"""

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from collab.capabilities import Need
from collab.decisions import Mark
from collab.endings import Ending
from collab.problems import Problem
from collab.proposals import Proposal, Sampling, Until
from collab.protocols import VerifierDesk
from collab.trace import TraceEvent
from collab.units import Unit
from collab.usage import Purpose
from collab.views import ThinkingTags


class Desk(VerifierDesk, Protocol):
    """What a strategy may do with one problem.

    Every call is counted in the ledger, checked against the budget, cancelled with the problem and
    seeded by it. A participant's calls are answered one after another, also when they are made
    concurrently; calls on branches and roll-outs run side by side. A participant's text cannot
    change under a call of its own that is in work.

    A method called against its contract raises `PluginCallError`; a spent budget raises
    `BudgetReached`, which a strategy lets pass.
    """

    @property
    def problem(self) -> Problem:
        """The problem."""
        ...

    @property
    def unit(self) -> Unit:
        """The recipe's unit."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How all participants draw tokens."""
        ...

    @property
    def mentors(self) -> tuple[str, ...]:
        """The mentors' names; the generator's is `collab.roles.GENERATOR`."""
        ...

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of participants that judge, score and reward, and never write."""
        ...

    @property
    def text(self) -> str:
        """The answer so far."""
        ...

    @property
    def mark(self) -> Mark:
        """A pointer to its end."""
        ...

    @property
    def room(self) -> int:
        """Tokens that may still be written."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end the text; `write` always stops at them."""
        ...

    @property
    def thinking(self) -> ThinkingTags | None:
        """The tags between which the text thinks aloud."""
        ...

    @property
    def ending(self) -> Ending | None:
        """Why the text is over; `None` as long as more may be written."""
        ...

    def rng(self, name: str) -> random.Random:
        """Return the random stream `name` of this problem and seed, at its beginning."""
        ...

    def check_budget(self, role: str) -> None:
        """Raise `BudgetReached` now if the next call of `role` would."""
        ...

    async def write(
        self, role: str, until: Until | None = None, *, purpose: Purpose = "draft"
    ) -> Proposal:
        """Have a participant continue the text; nothing of it stands before `commit`.

        What the participant decoded before from the same place is replayed at no cost.

        Args:
            role: Who writes: the generator or a mentor.
            until: When it stops; by default at the end of a unit. Bounded by `room` and `stops`.
            purpose: For the ledger.
        """
        ...

    async def write_many(
        self, role: str, n: int, until: Until | None = None, *, purpose: Purpose = "draft"
    ) -> tuple[Proposal, ...]:
        """Have a participant write `n` alternatives at the same time; any one can be committed.

        The first is what `write` would return; the others draw from random streams of their own,
        so the recipe has to sample. What is not committed is dropped when the text changes.
        """
        ...

    async def commit(
        self, proposal: Proposal, *, upto: int | None = None, cuts: Sequence[int] | None = None
    ) -> Ending | None:
        """Make the first `upto` tokens of a proposal part of the text; all without it.

        The proposal starts at the end of the text: it was written here, after all that stands now.
        A part of one (`Proposal.part`) may be committed, and then the part after it.

        Args:
            proposal: By any participant of this desk.
            upto: How many of its tokens, at least 1.
            cuts: Where units end in it, for the rule against repetition; one unit without.

        Returns:
            Why the text is over now, or `None`.
        """
        ...

    async def inject(
        self, text: str, *, author: str = "strategy", visible_to: frozenset[str] | None = None
    ) -> None:
        """Put text of the strategy's own in, for all participants or for some of them."""
        ...

    async def roll_back(self, mark: Mark) -> None:
        """Take back what stands after `mark`. The strategy has to say that it `takes_back`."""
        ...

    async def record(self, event: TraceEvent) -> None:
        """Put an event, such as a decision, into the trace."""
        ...

    def keep(self, name: str, value: object) -> None:
        """Hand a value to the caller, as `Result.kept[name]`."""
        ...

    def branch(self, *, is_reseeded: bool = False) -> "AbstractAsyncContextManager[Desk]":
        """Return a desk that goes on from here on its own; this one stays where it is.

        Its models share what is computed already. Leaving the block drops the branch, unless
        `adopt` took it over. Branches write and judge side by side.

        Args:
            is_reseeded: Whether its models draw from random streams of their own where the recipe
                samples; they write what this desk's would write otherwise.
        """
        ...

    async def adopt(self, branch: "Desk") -> Ending | None:
        """Take over a branch of this desk: its text, and all that its models have computed.

        Nothing may have been committed here since it was made.

        Returns:
            Why the text is over now, or `None`.
        """
        ...

    def finish(self, why: str = "") -> Ending:
        """End the text here, in the strategy's own words; return what `run` may return."""
        ...


class Strategy(BaseModel):
    """Base of strategies: a frozen value whose fields are its options.

    A strategy works until the text is over (`Desk.ending`), or ends it with `Desk.finish`. It runs
    its own tasks in a task group that it leaves before it returns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs(self) -> Sequence[Need]:
        """What this strategy asks of the models."""
        return ()

    @property
    def takes_back(self) -> bool:
        """Whether it may roll the text back; text is shown as settled then only at the end."""
        return False

    async def run(self, desk: Desk) -> Ending | None:
        """Write one problem's answer.

        Returns:
            Why it is over; `None` for the desk's own reason.
        """
        raise NotImplementedError
