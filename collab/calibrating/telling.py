"""How well signals tell bad steps from good ones, also among steps of the same place."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collab.calibrating.calibrator import Signal
from collab.calibrating.steps import SignalledText
from collab.collecting.quality import auroc, auroc_interval


@dataclass(frozen=True, slots=True)
class Telling:
    """One signal beside the labels.

    Attributes:
        auroc: Over all steps with an opinion and a label.
        interval: Its 95 % interval, bootstrapped over problems.
        within_index: The same over pairs of steps with the same index only, so that a signal which
            merely grows along the text gains nothing; `None` without such pairs.
        steps: How many steps.
    """

    auroc: float
    interval: tuple[float, float]
    within_index: float | None
    steps: int


def telling(
    texts: Sequence[SignalledText], signals: Iterable[Mapping[str, Signal]]
) -> dict[str, Telling]:
    """Return, for each signal, how well it tells bad steps; none where there is one kind only."""
    columns: dict[str, list[tuple[float, bool, str, int]]] = defaultdict(list)
    for text, found in zip(texts, signals, strict=True):
        for name, values in found.items():
            columns[name] += [
                (value, step.is_bad, text.problem, place)
                for place, (step, value) in enumerate(zip(text.steps, values, strict=True))
                if value is not None and step.is_bad is not None
            ]
    return {name: _told(rows) for name, rows in columns.items() if len({r[1] for r in rows}) == 2}


def _told(rows: Sequence[tuple[float, bool, str, int]]) -> Telling:
    scores, labels = [row[0] for row in rows], [row[1] for row in rows]
    return Telling(
        auroc=auroc(scores, labels),
        interval=auroc_interval(scores, labels, [row[2] for row in rows]),
        within_index=_within_index(rows),
        steps=len(rows),
    )


def _within_index(rows: Sequence[tuple[float, bool, str, int]]) -> float | None:
    """Return the AUROC over pairs of one bad and one good step of the same index."""
    groups: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for score, is_bad, _, place in rows:
        groups[place].append((score, is_bad))
    pairs = area = 0.0
    for group in groups.values():
        labels = [is_bad for _, is_bad in group]
        count = sum(labels) * (len(labels) - sum(labels))
        if count:
            pairs += count
            area += count * auroc([score for score, _ in group], labels)
    return area / pairs if pairs else None
