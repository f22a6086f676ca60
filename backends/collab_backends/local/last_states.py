"""Hidden states that are wanted of the last token of a proposal only."""

from collections.abc import Iterable
from dataclasses import replace

from collab.proposals import Proposal
from collab_backends.local.steering import Observer


def with_last_states(proposal: Proposal, observers: Iterable[Observer]) -> Proposal:
    """Return the proposal without the states that observers want at its last token only."""
    names = {observer.name for observer in observers if observer.only_last}
    if not names:
        return proposal
    last = len(proposal.tokens) - 1
    tokens = (
        token
        if place == last or not token.observed
        else replace(token, observed={n: v for n, v in token.observed.items() if n not in names})
        for place, token in enumerate(proposal.tokens)
    )
    return replace(proposal, tokens=tuple(tokens))
