"""What `generator-logprob` and `mentor-logprob` share: which text one model finds likelier."""

from statistics import fmean

from collab.errors import ContextOverflowError
from collab.proposals import Proposal
from collab.protocols import Case, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.verdicts import Abstain, Verdict

_TIE_NATS = 1e-4
"""Means this close to the margin are a tie: their last bits depend on what else is in the batch."""


class LogprobSession(VerifierSession):
    """Compares both proposals' mean log-probabilities per token under one model.

    Args:
        judge: The participant under which both are compared.
        margin_nats: By how much the mentor's has to be likelier.
    """

    def __init__(self, judge: str, margin_nats: float) -> None:
        self._judge = judge
        self._margin_nats = margin_nats

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        """Let the mentor's stand if it is likelier by more than the margin."""
        if not case.mentor:
            return Abstain("no proposal to compare")
        try:
            own = await mean_logprob(desk, self._judge, case.own)
            offered = await mean_logprob(desk, self._judge, case.offered)
        except ContextOverflowError:
            return Abstain("no room in the context for a proposal")
        if own is None or offered is None:
            return Abstain("a proposal without a log-probability")
        difference = offered - own
        is_likelier = difference > self._margin_nats + _TIE_NATS
        stands = case.mentor if is_likelier else GENERATOR
        return Verdict(stands, score=difference, why=f"likelier to the {self._judge}")


async def mean_logprob(desk: VerifierDesk, judge: str, proposal: Proposal) -> float | None:
    """Return the mean log-probability of a proposal's tokens under `judge`, in nats per token.

    What `judge` wrote itself is known already and costs nothing; other text is scored, in the
    tokens of `judge`.

    Returns:
        `None` if there is no text, or no number for some token.

    Raises:
        ContextOverflowError: The text does not fit the model's context.
        ModelCallError: The model failed.
    """
    if not proposal.text:
        return None
    known = [token.logprob for token in proposal.tokens]
    if proposal.author != judge or None in known:
        known = [token.logprob for token in await desk.score(judge, proposal.text)]
    numbers = [number for number in known if number is not None]
    return fmean(numbers) if numbers and len(numbers) == len(known) else None
