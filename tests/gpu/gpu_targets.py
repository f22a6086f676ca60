"""What a card has to reach, beside what was measured."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one figure.

    Attributes:
        figure: Its name, part first.
        bound: What it is to reach, or not to exceed.
        is_most: Whether the bound is the most it may be.
    """

    figure: str
    bound: float
    is_most: bool = False

    def is_met(self, measured: float) -> bool:
        """Whether a measured figure is within the bound."""
        return measured <= self.bound if self.is_most else measured >= self.bound


TARGETS = (
    Target("steps.1.7b.1.share_of_limit", 0.30),
    Target("steps.1.7b.8.share_of_limit", 0.38),
    Target("steps.1.7b.32.share_of_limit", 0.50),
    Target("steps.1.7b.128.share_of_limit", 0.70),
    Target("steps.8b.1.share_of_limit", 0.55),
    Target("steps.8b.32.share_of_limit", 0.60),
    *(
        Target(f"steps.1.7b.{texts}.{what}_over_plain", 1.03, is_most=True)
        for texts in (1, 8, 32, 128)
        for what in ("observed", "steered")
    ),
    Target("theirs.32.general_over_step", 20),
    Target("theirs.1.over_generate", 10),
    Target("theirs.32.over_generate", 15),
    Target("steps.1.7b.32.host_over_step", 1.0, is_most=True),
    Target("loop.mentorcollab_free.64.over_alone", 0.5),
)


def derive(figures: Mapping[str, object]) -> dict[str, float]:
    """Return figures that are ratios of others, where these were measured."""
    ratios: dict[str, tuple[str, str, float]] = {
        "theirs.32.general_over_step": ("theirs.32.general_step_ms", "steps.1.7b.32.step_ms", 1.0),
        "steps.1.7b.32.host_over_step": (
            "steps.1.7b.32.host_us_per_step",
            "steps.1.7b.32.step_ms",
            1e-3,
        ),
    }
    found: dict[str, float] = {}
    for name, (above, below, factor) in ratios.items():
        first, second = figures.get(above), figures.get(below)
        if isinstance(first, float) and isinstance(second, float):
            found[name] = factor * first / second
    return found


def judged(
    figures: Mapping[str, object],
    parts: Collection[str],
    say: Callable[[str, str, str, str], None],
) -> int:
    """Say of each target of some parts what was measured; return how many are not shown."""
    missed = 0
    for target in TARGETS:
        if target.figure.split(".")[0] not in parts:
            continue
        measured = figures.get(target.figure)
        bound = f"{'at most' if target.is_most else 'at least'} {target.bound:g}"
        if not isinstance(measured, float):
            missed += 1
            say(target.figure, bound, "-", "not measured")
            continue
        is_met = target.is_met(measured)
        missed += not is_met
        say(target.figure, bound, f"{measured:.3g}", "met" if is_met else "MISSED")
    return missed
