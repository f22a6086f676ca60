"""Alternatives: several proposals of one participant for one place, of which one can stand."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from collab.concurrency import together
from collab.controller.participant import Participant
from collab.controller.request import Request
from collab.errors import PluginCallError
from collab.proposals import Proposal, Sampling, Until
from collab.trace import Trace
from collab.usage import Purpose


class Alternatives:
    """Writes alternatives on forks and keeps these until the text changes.

    Args:
        request: Gives random streams.
        participants: Who writes.
        place: Of the desk among the branches of its problem; names the random streams.
    """

    def __init__(
        self, request: Request, participants: Mapping[str, Participant], place: str
    ) -> None:
        self._request = request
        self._participants = participants
        self._place = place
        self._forks: dict[int, tuple[str, Participant]] = {}
        self._stack = AsyncExitStack()
        self._written = 0
        self._chosen = 0

    async def write(
        self, trace: Trace, role: str, n: int, *, purpose: Purpose, until: Until, sampling: Sampling
    ) -> tuple[Proposal, ...]:
        """Return `n` proposals; the first is what the participant itself writes next."""
        writer = self._participants[role]
        names = [0, *range(self._written + 1, self._written + n)]
        self._written += n - 1
        writers = {0: writer}
        for name in names[1:]:
            twin = await self._stack.enter_async_context(writer.fork(trace))
            twin.reseed(self._request.rng(f"{role}{self._place}#{name}").getrandbits(63))
            writers[name] = twin
            self._forks[name] = (role, twin)

        async def write_one(name: int) -> Proposal:
            proposal = await writers[name].generate(trace, purpose, until, sampling)
            return replace(proposal, alternative=name)

        return tuple(await together([partial(write_one, name) for name in names]))

    async def choose(self, proposal: Proposal) -> None:
        """Have its author go on from where `proposal` was written; drop the others.

        Raises:
            PluginCallError: It was dropped already.
        """
        name = proposal.alternative
        if name and name != self._chosen:
            if name not in self._forks:
                raise PluginCallError(
                    f"an alternative by the {proposal.author} cannot be committed any more: the "
                    "text has changed since it was written"
                )
            role, twin = self._forks[name]
            self._participants[role].take_over(twin)
        await self.drop()
        self._chosen = name

    async def drop(self) -> None:
        """Drop all alternatives: the text changes."""
        self._chosen = 0
        self._forks.clear()
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()
