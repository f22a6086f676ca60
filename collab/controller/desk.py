"""The desk of one problem: everything that may be done with it, bounded and recorded."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Self

from collab.controller.alternatives import Alternatives
from collab.controller.asking import Asking
from collab.controller.cast import Cast
from collab.controller.committer import Committer
from collab.controller.progress import Progress, giving_way
from collab.controller.request import Request
from collab.decisions import Mark
from collab.endings import Ending
from collab.errors import PluginCallError
from collab.proposals import Proposal, Token, Until
from collab.signals import Steering
from collab.strategies import Desk
from collab.texts import is_unicode
from collab.trace import TraceEvent
from collab.usage import Purpose


class ProblemDesk(Asking):
    """What a strategy may do with one problem; see `collab.strategies.Desk`.

    Args:
        request: The problem, and how it is worked on.
        cast: Who takes part.
        committer: Writes the trace.
        progress: Shared with branches.
        place: Among the branches of its problem; empty for the problem's own desk.
    """

    def __init__(
        self,
        request: Request,
        cast: Cast,
        committer: Committer,
        progress: Progress,
        *,
        place: str = "",
    ) -> None:
        super().__init__(request, cast, committer, progress)
        self._place = place
        self._branches = 0
        self._alternatives = Alternatives(request, cast.by_name, place)
        self._steering: Steering | None = None
        self._parent: ProblemDesk | None = None
        self._base = 0
        self._version = self._base_version = 0

    # --- writing ----------------------------------------------------------------------------

    @giving_way
    async def write(
        self, role: str, until: Until | None = None, *, purpose: Purpose = "draft"
    ) -> Proposal:
        """Have a participant continue the text; see `collab.strategies.Desk.write`."""
        writer = self._cast.writer(role)
        with self._calling():
            return await writer.generate(
                self.trace, purpose, self._bounded(until), self._recipe.sampling
            )

    async def look_beyond(self, tokens: int, wanted: int) -> tuple[Token, ...]:
        """Return what the generator writes after the `tokens` that it has just drafted.

        This is not a look-ahead: no one writes beside it, so its time is the draft's.
        """
        until = Until(tokens + wanted, stop_strings=self._bounds.stops)
        with self._calling():
            written = await self._cast.generator.generate(
                self.trace, "draft", until, self._recipe.sampling
            )
        return written.tokens[tokens:]

    @giving_way
    async def write_many(
        self, role: str, n: int, until: Until | None = None, *, purpose: Purpose = "draft"
    ) -> tuple[Proposal, ...]:
        """Have a participant write alternatives; see `collab.strategies.Desk.write_many`."""
        self._cast.writer(role)
        if n < 1:
            raise PluginCallError(f"{n} alternatives were asked of the {role}; ask for at least 1")
        if n > 1 and self._recipe.sampling.is_greedy:
            raise PluginCallError(
                f"{n} alternatives were asked of the {role}, which writes the same text each time; "
                "give the recipe a sampling temperature above 0"
            )
        with self._calling():
            return await self._alternatives.write(
                self.trace,
                role,
                n,
                purpose=purpose,
                until=self._bounded(until),
                sampling=self._recipe.sampling,
            )

    def steer(self, steering: Steering | None) -> None:
        """Add a vector to the generator's hidden states from here on."""
        if steering == self._steering:
            return
        self._steering = steering
        self._cast.generator.steer(self.trace, steering)

    # --- the text ---------------------------------------------------------------------------

    @giving_way
    async def commit(
        self, proposal: Proposal, *, upto: int | None = None, cuts: Sequence[int] | None = None
    ) -> Ending | None:
        """Make a proposal part of the text; see `collab.strategies.Desk.commit`."""
        self._move()
        if upto is not None and not 1 <= upto <= len(proposal.tokens):
            raise PluginCallError(
                f"{upto} tokens of a proposal by the {proposal.author} were to be committed; it "
                f"has {len(proposal.tokens)}"
            )
        self._cast.writer(proposal.author)
        part = proposal.part(0, upto)
        ends = [len(part.tokens)] if cuts is None else [*cuts]
        if ends != sorted(set(ends)) or (ends and not 0 <= ends[0] <= ends[-1] <= len(part.tokens)):
            raise PluginCallError(
                f"units cannot end at {ends}; give how many tokens are before each end, ascending, "
                f"up to {len(part.tokens)}"
            )
        self._version += 1
        await self._alternatives.choose(proposal)
        if not await self._committer.commit(part, ends):
            return self._end(Ending("repeat"))
        if len(part.tokens) == len(proposal.tokens) and self._bounds.is_final(proposal):
            await self._committer.trim(proposal.stop_overlap, proposal.author)
            return self._end(self._bounds.ending(proposal))
        return self._end(Ending("length")) if self.room <= 0 else None

    @giving_way
    async def inject(
        self, text: str, *, author: str = "strategy", visible_to: frozenset[str] | None = None
    ) -> None:
        """Put text of the strategy's own in."""
        self._move()
        if not is_unicode(text):
            raise PluginCallError("the text to inject contains half a character (a lone surrogate)")
        for name in visible_to or ():
            self._cast.known(name)
        await self.put_in(text, author, visible_to)

    async def put_in(self, text: str, author: str, visible_to: frozenset[str] | None) -> None:
        """Put text in, also after the end: a policy's own may follow the last unit."""
        self._progress.move()
        await self._change()
        await self._committer.inject(text, author, visible_to)

    @giving_way
    async def roll_back(self, mark: Mark) -> None:
        """Take back what stands after `mark`."""
        self._move()
        plugin = f"{type(self._recipe.strategy or self._recipe.policy).__name__!r}"
        if not self._recipe.takes_back:
            raise PluginCallError(
                f"{plugin} takes text back without saying so; give it a property `takes_back` that "
                "is true, so that no reader is shown text that may go"
            )
        if not 0 <= mark.spans <= self.trace.length:
            raise PluginCallError(
                f"{plugin} asked to go back to span {mark.spans}; the trace has {self.trace.length}"
            )
        for participant in self._cast.by_name.values():
            participant.ensure_idle()
        await self._change()
        await self._committer.roll_back(mark)

    async def record(self, event: TraceEvent) -> None:
        """Put an event into the trace."""
        self._progress.ensure_open()
        await self._committer.record(event)

    def keep(self, name: str, value: object) -> None:
        """Hand a value to the caller."""
        self._progress.kept[name] = value

    def finish(self, why: str = "") -> Ending:
        """End the text in the strategy's own words."""
        return self._end(Ending("strategy", why))

    # --- branches ---------------------------------------------------------------------------

    @asynccontextmanager
    async def branch(self, *, is_reseeded: bool = False) -> AsyncIterator[Self]:
        """Yield a desk that goes on from here on its own; see `collab.strategies.Desk.branch`."""
        self._progress.ensure_open()
        async with AsyncExitStack() as stack:
            twins = {
                role: await stack.enter_async_context(one.fork(self.trace))
                for role, one in self._cast.by_name.items()
            }
            committer = self._committer.branched(twins)
            self._branches += 1
            branch = type(self)(
                self._request,
                Cast(twins, self._cast.judging),
                committer,
                self._progress,
                place=f"{self._place}/{self._branches}",
            )
            branch._parent, branch._base_version = self, self._version
            branch._steering = self._steering
            if is_reseeded and not self._recipe.sampling.is_greedy:
                branch._reseed()
            branch._base = self.trace.length
            stack.push_async_callback(branch.leave)
            yield branch

    @giving_way
    async def adopt(self, branch: Desk) -> Ending | None:
        """Take over a branch of this desk; see `collab.strategies.Desk.adopt`."""
        if not isinstance(branch, ProblemDesk) or branch._parent is not self:
            raise PluginCallError(
                "a branch of another desk, or one that was left or adopted already, cannot be "
                "adopted; adopt it where it was made, within its block"
            )
        if branch._base_version != self._version:
            raise PluginCallError(
                "the text has changed since the branch was made, so that it cannot be adopted; "
                "commit to the branch instead"
            )
        self._move()
        await branch._alternatives.drop()
        await self._change()
        lowest = branch._committer.lowest
        if lowest < branch._base:
            await self._committer.roll_back(Mark(lowest))
        for role, participant in self._cast.by_name.items():
            participant.take_over(branch._cast.by_name[role])
        await self._committer.take_over(branch._committer, lowest)
        branch._parent = None
        self._ending = branch._ending
        branch._ending = Ending("strategy", "the branch was adopted")
        return self._ending

    def _reseed(self) -> None:
        for name, participant in self._cast.by_name.items():
            if name not in self._cast.judging:
                participant.reseed(self.rng(f"{name}{self._place}").getrandbits(63))

    def close(self, plugin: str) -> None:
        """Refuse everything from now on: the strategy has returned.

        Raises:
            PluginCallError: It left calls in work.
        """
        self._progress.close(plugin)

    async def leave(self) -> None:
        """Let go of all that is kept for proposals that were not committed."""
        self._parent = None
        await self._alternatives.drop()
        self._ending = self._ending or Ending("strategy", "the desk was left")

    # --- rules ------------------------------------------------------------------------------

    def _bounded(self, until: Until | None) -> Until:
        """Return when to stop, within the room there is and at the strings that end the text."""
        if until is None:
            until = Until(self.unit.max_tokens, self.unit)
        if "" in until.stop_strings:
            raise PluginCallError("an empty stop string ends every text at once; leave it out")
        stops = tuple(dict.fromkeys((*until.stop_strings, *self._bounds.stops)))
        room = max(self.room, 1)
        return replace(until, max_tokens=min(until.max_tokens, room), stop_strings=stops)

    async def _change(self) -> None:
        """Take note that the text changes: its alternatives go, and branches cannot be adopted."""
        self._version += 1
        await self._alternatives.drop()

    def _end(self, ending: Ending) -> Ending:
        self._ending = ending
        return ending
