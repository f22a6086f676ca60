"""Asking at one problem's desk: what is known of it, and calls that change nothing of its text."""

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from collab.controller.bounds import Bounds
from collab.controller.cast import Cast
from collab.controller.committer import Committer
from collab.controller.progress import Progress, giving_way
from collab.controller.request import Request
from collab.decisions import Mark
from collab.endings import Ending
from collab.errors import PluginCallError
from collab.problems import Problem
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.trace import Trace
from collab.units import Unit
from collab.views import ThinkingTags


class Asking:
    """The part of a desk that only asks; see `collab.strategies.Desk`.

    Args:
        request: The problem, and how it is worked on.
        cast: Who takes part.
        committer: Writes the trace.
        progress: Shared by all desks of the problem.
    """

    def __init__(
        self, request: Request, cast: Cast, committer: Committer, progress: Progress
    ) -> None:
        self._request = request
        self._recipe = request.recipe
        self._cast = cast
        self._committer = committer
        self._progress = progress
        self._bounds = Bounds(request.recipe, committer.trace)
        self._ending: Ending | None = None

    @property
    def problem(self) -> Problem:
        """The problem."""
        return self._request.problem

    @property
    def unit(self) -> Unit:
        """The recipe's unit."""
        return self._recipe.unit

    @property
    def sampling(self) -> Sampling:
        """How all participants draw tokens."""
        return self._recipe.sampling

    @property
    def mentors(self) -> tuple[str, ...]:
        """The mentors' names."""
        return self._cast.mentors

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of participants that never write."""
        return self._cast.judges

    @property
    def trace(self) -> Trace:
        """What happened so far. Only the desk writes it."""
        return self._committer.trace

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.trace.text

    @property
    def mark(self) -> Mark:
        """A pointer to its end."""
        return self.trace.mark

    @property
    def units(self) -> int:
        """Units committed so far; a segment that stood counts as one."""
        return self._committer.units

    @property
    def room(self) -> int:
        """Tokens that may still be written, without those that are kept for the answer."""
        return self._bounds.room

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end the text."""
        return self._bounds.stops

    @property
    def bounds(self) -> Bounds:
        """What the recipe says of the end of the text."""
        return self._bounds

    @property
    def thinking(self) -> ThinkingTags | None:
        """The tags between which the text thinks aloud."""
        return self._cast.generator.thinking

    @property
    def cast(self) -> Cast:
        """Who takes part."""
        return self._cast

    @property
    def ending(self) -> Ending | None:
        """Why the text is over."""
        return self._ending

    def rng(self, name: str) -> random.Random:
        """Return the random stream `name` of this problem and seed."""
        return self._request.rng(name)

    def check_budget(self, role: str) -> None:
        """Raise `BudgetReached` now if the next call of `role` would."""
        self._cast.known(role).check_budget()

    # --- asking -----------------------------------------------------------------------------

    @giving_way
    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask a participant for label probabilities at the mark."""
        with self._calling():
            return await self._cast.known(role).judge(self.trace, question, labels)

    @giving_way
    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask a participant for log-probabilities at the mark."""
        with self._calling():
            return await self._cast.known(role).score(self.trace, text)

    @giving_way
    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        """Read a participant's hidden state after `text` at the mark."""
        with self._calling():
            return await self._cast.known(role).observe(self.trace, text, layer)

    @giving_way
    async def reward(self, role: str, steps: Sequence[str]) -> Sequence[float]:
        """Ask a participant for rewards of steps at the mark."""
        with self._calling():
            return await self._cast.known(role).reward(self.trace, steps)

    @giving_way
    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        """Have a participant write on after a proposal, on a fork; see `VerifierDesk.roll_out`."""
        if self._bounds.is_final(proposal):
            return replace(proposal.part(len(proposal.tokens)), author=role)
        room = min(max_tokens, self._bounds.left - len(proposal.tokens))
        if room < 1:
            return Proposal(role, (), "length")
        until = Until(room, stop_strings=self._recipe.stop_strings)
        writer = self._cast.writer(role)
        with self._calling():
            return await writer.roll_out(
                self.trace, proposal, until, self._recipe.sampling, seed=seed
            )

    def _calling(self) -> AbstractContextManager[None]:
        """Count a call; refuse it where the text is over."""
        self._move()
        return self._progress.calling()

    def _move(self) -> None:
        self._progress.move()
        if self._ending is not None:
            raise PluginCallError(
                f"the text is over ({self._ending}); nothing more can be written or asked here"
            )
