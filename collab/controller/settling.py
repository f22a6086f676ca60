"""Settled text: what a stream shows for good, because nothing can take it back any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collab.trace import Span, Trace


@dataclass(frozen=True, slots=True)
class Settled:
    """Text that follows all settled before it, and never changes again.

    Attributes:
        text: At least one character of the answer.
        author: Who wrote it: a participant, or what put it in.
    """

    text: str
    author: str


class Settling:
    """Follows a trace and says what of its text has settled.

    Held back is what may turn out to begin a stop string, and everything where a policy or strategy
    may take text back.

    Args:
        trace: The trace.
        stops: The strings that end its text or its thinking.
        takes_back: Whether text may be rolled back.
    """

    def __init__(self, trace: Trace, stops: Sequence[str], *, takes_back: bool) -> None:
        self._trace = trace
        self._stops = stops
        self._takes_back = takes_back
        self._shown = 0

    def advance(self, *, is_over: bool = False) -> list[Settled]:
        """Return what has settled since the last call; everything, once the problem `is_over`."""
        text = self._trace.text
        held = 0 if is_over else len(text) if self._takes_back else _begun(text, self._stops)
        end = len(text) - held
        if end <= self._shown:
            return []
        settled: list[Settled] = []
        for span, start in _placed(self._trace.backwards(), self._shown, len(text)):
            piece = span.text[max(self._shown - start, 0) : max(end - start, 0)]
            if piece and settled and settled[-1].author == span.author:
                settled[-1] = Settled(settled[-1].text + piece, span.author)
            elif piece:
                settled.append(Settled(piece, span.author))
        self._shown = end
        return settled


def _placed(backwards: Iterable[Span], shown: int, length: int) -> list[tuple[Span, int]]:
    """Return the visible spans that reach beyond `shown`, each with its place in the text."""
    placed: list[tuple[Span, int]] = []
    end = length
    for span in backwards:
        if end <= shown:
            break
        if span.visible_to is None:
            end -= len(span.text)
            placed.append((span, end))
    return placed[::-1]


def _begun(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of a text begin one of the stop strings."""
    longest = max(map(len, stops), default=1) - 1
    return next(
        (
            length
            for length in range(min(longest, len(text)), 0, -1)
            if any(stop.startswith(text[-length:]) for stop in stops)
        ),
        0,
    )
