"""Examples: branches with labels, on either side of a split by problem."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collab.errors import TrainingError
from collab.training.branches import Branch

LEAST_BRANCHES = 32
"""Labelled branches to train on; a network that has seen fewer knows nothing worth a number."""

LEAST_OF_A_CLASS = 4
"""Labelled branches of either class, on each side of the split."""

EVEN = 0.5
"""Target of a tie: neither way."""


@dataclass(frozen=True, slots=True)
class Example:
    """A branch to learn from.

    Attributes:
        problem: The problem it comes from.
        state: What the verifier sees.
        target: 1 if the generator's way is the right one, 0 if the mentor's is, 0.5 for a tie.
        weight: How much it counts, above 0.
    """

    problem: str
    state: Sequence[float] = field(repr=False)
    target: float
    weight: float


def example_of(problem: str, branch: Branch, *, tie_weight: float = 0.0) -> Example | None:
    """Return the example that a branch makes; `None` for a tie that does not count.

    The way that leads to the right answer more often is the right one. With several samples a
    branch counts by how much more often; with one, by 1.
    """
    difference = branch.own_right - branch.offered_right
    if difference:
        return Example(problem, branch.state, float(difference > 0), abs(difference))
    return Example(problem, branch.state, EVEN, tie_weight) if tie_weight else None


def place_of(problem: str, *, seed: int, split: str) -> float:
    """Return a problem's place in `[0, 1)`: a hash of its id, whatever else there is.

    Args:
        problem: Its id.
        seed: Other seeds, other places.
        split: Name of the split, so that one does not depend on another.
    """
    digest = hashlib.sha256(f"{seed}\0{split}\0{problem}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def is_held_out(problem: str, *, seed: int, share: float) -> bool:
    """Whether a problem, with all its branches, is only measured on."""
    return place_of(problem, seed=seed, split="held-out") < share


def examples_of(branches: Mapping[str, Sequence[Branch]], *, tie_weight: float) -> list[Example]:
    """Return the examples of all branches, by problem."""
    made = (
        example_of(problem, branch, tie_weight=tie_weight)
        for problem, found in branches.items()
        for branch in found
    )
    return [one for one in made if one is not None]


def ensure_enough(
    learnt: Iterable[Example],
    measured: Iterable[Example],
    folder: Path,
    *,
    are_all_taken: bool = False,
) -> None:
    """Refuse what nothing could be learnt from, or nothing be said about.

    Args:
        learnt: To train on.
        measured: Held out.
        folder: Where the branches are kept.
        are_all_taken: Whether there are no more problems to take.

    Raises:
        TrainingError: There are too few branches, or they are of one class.
    """
    trained = _counts(learnt)
    sides = {"to train on": trained, "held out": _counts(measured)}
    found = ", ".join(
        f"{side}: {own} where the generator's way is right and {offered} where the mentor's is"
        for side, (own, offered) in sides.items()
    )
    if sum(trained) >= LEAST_BRANCHES and min(map(min, sides.values())) >= LEAST_OF_A_CLASS:
        return
    is_one_class = any(sum(counts) and not min(counts) for counts in sides.values())
    lack = "they are of one class" if is_one_class else "they are too few"
    more = "" if are_all_taken else ": the same command with a higher --limit adds to it"
    raise TrainingError(
        f"no verifier can be trained on these branches, as {lack} ({found}; ties are not among "
        f"them); needed are {LEAST_BRANCHES} to train on, and {LEAST_OF_A_CLASS} of each kind on "
        f"both sides. What was collected is kept in {folder}{more}; in another directory, "
        f"{'more problems, ' if are_all_taken else ''}a higher rate (--set recipe.rate=1) or "
        "several roll-outs (--set recipe.sampling.temperature=0.8 --samples 2) find more branches "
        "that are not ties"
    )


def _counts(examples: Iterable[Example]) -> tuple[int, int]:
    """Return how many examples favour the generator and the mentor."""
    targets = [one.target for one in examples]
    return targets.count(1.0), targets.count(0.0)
