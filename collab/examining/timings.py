"""Two ways timed on the same problems, in turn and in rounds: how much faster one is, and how sure.

The time of a computation differs from one round to the next, as other work on the machine comes and
goes. Both ways of one round stand next to each other in time, so they are drawn together.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_DRAWS = 1_000
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one answer took.

    Attributes:
        seconds: Wall-clock time, above 0.
        tokens: Of the answer.
    """

    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One problem answered both ways, one right after the other.

    Attributes:
        alone: By the mentor alone.
        recipe: With the recipe.
    """

    alone: Timing
    recipe: Timing


def speed_up(turns: Iterable[Turn]) -> float:
    """Return the time of the mentor alone over the recipe's, per answer token; 0 for no tokens."""
    return _speed_up(map(_numbers, turns))


def speed_up_range(problems: Sequence[Sequence[Turn]], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the speed-up.

    A draw takes as many problems as there are, with replacement, and one round of each, so that the
    interval holds what differs between problems and what differs between rounds.

    Args:
        problems: The turns of each problem, at least one each, of at least one problem.
        seed: Of the draws.
    """
    pick = random.Random(seed).choice
    numbers = [[_numbers(turn) for turn in turns] for turns in problems]
    drawn = sorted(_speed_up(pick(pick(numbers)) for _ in numbers) for _ in range(_DRAWS))
    return drawn[int(_TAIL * _DRAWS)], drawn[-1 - int(_TAIL * _DRAWS)]


def noise(problems: Iterable[Sequence[Turn]]) -> float:
    """Return how many times longer the same answer took in its slowest round than in its fastest.

    The median over all answers; 1 where nothing was repeated.
    """
    ratios = [
        max(seconds) / min(seconds)
        for turns in problems
        if len(turns) > 1
        for seconds in (
            [turn.alone.seconds for turn in turns],
            [turn.recipe.seconds for turn in turns],
        )
        if min(seconds) > 0
    ]
    return median(ratios) if ratios else 1.0


def _numbers(turn: Turn) -> tuple[float, int, float, int]:
    return turn.alone.seconds, turn.alone.tokens, turn.recipe.seconds, turn.recipe.tokens


def _speed_up(turns: Iterable[tuple[float, int, float, int]]) -> float:
    alone_s, alone_tokens, recipe_s, recipe_tokens = map(sum, zip(*turns, strict=True))
    if not (alone_tokens and recipe_s):
        return 0.0
    return (alone_s / alone_tokens) / (recipe_s / max(recipe_tokens, 1))
