"""A desk for tests of verifiers: it answers what a test lets it answer, and refuses the rest."""

from collections.abc import Sequence

from collab.proposals import Distribution, Proposal, Token


class FakeDesk:
    """Base of desks that a test hands to a verifier; override what the verifier may ask.

    Everything else raises `AssertionError`. See `collab.protocols.VerifierDesk`.
    """

    async def judge(self, role: str, question: str, labels: Sequence[str]) -> Distribution:
        """Refuse to judge."""
        raise AssertionError(f"the {role} was asked to judge {question!r}")

    async def score(self, role: str, text: str) -> tuple[Token, ...]:
        """Refuse to score."""
        raise AssertionError(f"the {role} was asked to score {text!r}")

    async def observe(self, role: str, text: str, layer: int) -> Sequence[float]:
        """Refuse to hand over a state."""
        raise AssertionError(f"the {role} was asked for its state after {text!r}")

    async def reward(self, role: str, steps: Sequence[str]) -> Sequence[float]:
        """Refuse to give rewards."""
        raise AssertionError(f"the {role} was asked for rewards of {steps!r}")

    async def roll_out(
        self, role: str, proposal: Proposal, max_tokens: int, *, seed: int | None = None
    ) -> Proposal:
        """Refuse to write."""
        raise AssertionError(f"the {role} was asked to write after {proposal.text!r}")
