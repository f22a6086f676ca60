"""The part of a desk that verifiers are given: they ask participants, and change nothing."""

from collections.abc import Sequence

from collab.controller.desk import ProblemDesk
from collab.proposals import Distribution, Proposal, Token


class NarrowDesk:
    """What a verifier may ask; see `collab.protocols.VerifierDesk`."""

    def __init__(self, desk: ProblemDesk) -> None:
        self._desk = desk

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Ask a participant for label probabilities at the mark."""
        return await self._desk.judge(role, question, labels)

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Ask a participant for log-probabilities at the mark."""
        return await self._desk.score(role, text)

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        """Read a participant's hidden state after `text` at the mark."""
        return await self._desk.observe(role, text, layer)

    async def reward(self, role: str, steps: Sequence[str]) -> Sequence[float]:
        """Ask a participant for rewards of steps at the mark."""
        return await self._desk.reward(role, steps)

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        """Have a participant write on after a proposal; see `VerifierDesk.roll_out`."""
        return await self._desk.roll_out(role, proposal, max_tokens, seed=seed)
