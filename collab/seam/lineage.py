"""Which marks a session can go back to and which forks it can adopt, for every backend."""

from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from collab.seam.session import SessionMark

PlaceT = TypeVar("PlaceT")

NO_FORK = "only an open fork of this session that was not adopted before can be adopted"
"""Error message of a session that is asked to adopt anything else."""

_numbers = count()


class Lineage(Generic[PlaceT]):
    """The moves of a session's head that led to where it is now.

    A mark is valid as long as the move that led to it is one of them. This rules out marks of
    other sessions, marks ahead of the head, and marks on a way that was rolled back.
    """

    def __init__(self) -> None:
        self._moves = [next(_numbers)]
        self._parent: Lineage[PlaceT] | None = None

    def move(self) -> None:
        """Take note that the head moves forward."""
        self._moves.append(next(_numbers))

    def mark(self, place: PlaceT) -> SessionMark:
        """Return a mark of the head's position."""
        return _Mark(len(self._moves) - 1, self._moves[-1], place)

    def go_back(self, mark: SessionMark) -> PlaceT:
        """Take note that the head goes back to `mark`, and return the mark's place.

        Raises:
            ValueError: It is a mark of another session, or lies ahead of the head.
        """
        if not isinstance(mark, _Mark) or self._moves[mark.depth : mark.depth + 1] != [mark.move]:
            raise ValueError(f"{mark!r} is no mark of this session, or lies ahead of its head")
        del self._moves[mark.depth + 1 :]
        place: PlaceT = mark.place
        return place

    def fork(self) -> "Lineage[PlaceT]":
        """Return the lineage of a fork."""
        twin: Lineage[PlaceT] = Lineage()
        twin._moves = list(self._moves)
        twin._parent = self
        return twin

    def is_fork_of(self, other: "Lineage[PlaceT]") -> bool:
        """Whether it is an open fork of `other` that was not adopted."""
        return self._parent is other

    def adopt(self, twin: "Lineage[PlaceT]") -> None:
        """Swap moves with a fork, which cannot be adopted again."""
        twin.close()
        self._moves, twin._moves = twin._moves, self._moves

    def close(self) -> None:
        """Take note that the session is closed, so that it cannot be adopted."""
        self._parent = None


@dataclass(frozen=True, slots=True)
class _Mark(Generic[PlaceT]):
    """A position of a live text.

    Attributes:
        depth: How many moves of the head led to it.
        move: The number of the last of them. No two moves in this process have the same number.
        place: What the session needs to go back there.
    """

    depth: int
    move: int
    place: PlaceT
