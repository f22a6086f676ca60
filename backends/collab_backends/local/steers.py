"""What is added to the hidden states of one live text, and from which position on."""

from collections.abc import Sequence

from collab_backends.local.steering import Steer


class Steers:
    """The steerings of a live text, by the position from which each holds.

    Args:
        stretches: Positions, ascending, and what is added from there on; `None` for nothing.
    """

    def __init__(self, stretches: Sequence[tuple[int, Steer | None]] = ()) -> None:
        self._stretches = list(stretches)

    @property
    def latest(self) -> Steer | None:
        """What is added at the end of the text."""
        return self._stretches[-1][1] if self._stretches else None

    @property
    def stretches(self) -> tuple[tuple[int, Steer | None], ...]:
        """As given."""
        return tuple(self._stretches)

    def begin(self, start: int, steer: Steer | None) -> None:
        """Have `steer` added from `start` on, instead of what held from there on."""
        self._stretches = [(place, one) for place, one in self._stretches if place < start]
        self._stretches.append((start, steer))

    def shorten(self, last: int) -> None:
        """Have what was to begin after the text's last position begin there."""
        self._stretches = [(min(start, last), steer) for start, steer in self._stretches]

    def keys(self, ids: Sequence[int]) -> list[int]:
        """Return the cache keys of a text that begins as this one does."""
        if not self._stretches:
            return list(ids)
        keys = list(ids[: self._stretches[0][0]])
        ends = [start for start, _ in self._stretches[1:]] + [len(ids)]
        for (start, steer), end in zip(self._stretches, ends, strict=True):
            keys += [steer.key(one) if steer else one for one in ids[start:end]]
        return keys
