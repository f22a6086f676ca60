"""How sure a model is of its next token, and where tokens begin in their text."""

import math
from collections.abc import Sequence

from pydantic import Field

from collab.options import Options
from collab.proposals import Token


class SurenessOptions(Options):
    """What counts as sure."""

    threshold: float = Field(
        default=0.4, ge=0, le=1, description="The top-1 probability from which on it is sure."
    )


def sureness(token: Token) -> float:
    """Return the probability of the likeliest token at a token's position."""
    return math.exp(token.top[0].logprob) if token.top else 1.0


def places_of(tokens: Sequence[Token]) -> list[int]:
    """Return at which character of their text each token begins."""
    places, place = [], 0
    for token in tokens:
        places.append(place)
        place += len(token.text)
    return places
