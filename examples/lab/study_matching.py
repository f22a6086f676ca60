"""The rate at which `always-mentor` writes as large a share of the answers as another verifier."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from study_cells import ALWAYS_MENTOR, Cell
from study_figures import Figures

MOST_HALVINGS = 8
CLOSE = 0.005
NEAR = 0.01
"""Shares further apart than this are not called equal."""


@dataclass(frozen=True, slots=True)
class Match:
    """The run of `always-mentor` whose mentor share is the nearest that was found.

    Attributes:
        rate: Its rate.
        figures: What it comes to.
        is_near: Whether its share is within `NEAR` of what was looked for.
    """

    rate: float
    figures: Figures
    is_near: bool


def matched(cell: Cell, share: float, measure: Callable[[Cell], Figures]) -> Match:
    """Search the rate of `always-mentor` for a mentor share, by halving.

    The bracket begins as rates 0 to 1. Its middle is measured, and the half kept on whose side
    `share` lies, until a share is within `CLOSE` or after `MOST_HALVINGS`. Of all rates measured on
    the way the nearest in share is returned, the lower one of equals. Every search halves the same
    way, so that searches share most of their runs.

    Args:
        cell: The segments are as long as its.
        share: The mentor share to be reached, in `[0, 1]`.
        measure: Runs a cell; at rate 0 that is the generator alone.
    """
    low, high = 0.0, 1.0
    tried = {rate: measure(_always_mentor(cell, rate)) for rate in (low, high)}

    def distance(rate: float) -> float:
        return abs(tried[rate].share - share)

    while min(map(distance, tried)) > CLOSE and len(tried) < MOST_HALVINGS + 2:
        middle = (low + high) / 2
        tried[middle] = measure(_always_mentor(cell, middle))
        if tried[middle].share < share:
            low = middle
        else:
            high = middle
    best = min(sorted(tried), key=distance)
    return Match(best, tried[best], distance(best) <= NEAR)


def _always_mentor(cell: Cell, rate: float) -> Cell:
    return replace(cell, verifier=ALWAYS_MENTOR, rate=rate)
