"""A text kept as token ids: how foreign text is spliced in, and how it is undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collab.errors import ModelCallError

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import Splice, TextCodec


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a live text that can be gone back to.

    Attributes:
        length: Its ids up to there; of a text kept as text, its characters.
        splices: How many splices had been made by then.
    """

    length: int
    splices: int = 0


class LiveIds:
    """The ids of a live text up to its head; they are never rebuilt from text.

    Splices may write the last few ids again; what they replaced is kept, so that every earlier
    place can be gone back to.

    Args:
        codec: The model's tokenizer.
        ids: The rendered prompt.

    Attributes:
        codec: As given.
        ids: All ids up to the head.
    """

    def __init__(self, codec: "TextCodec", ids: Sequence[int]) -> None:
        self.codec = codec
        self.ids = list(ids)
        self._replaced: list[tuple[int, list[int]]] = []

    @property
    def place(self) -> Place:
        """Where the head is."""
        return Place(len(self.ids), len(self._replaced))

    def splice(self, text: str) -> "Splice":
        """Return how `text` would be put behind the head."""
        return self.codec.splice(self.ids, text)

    def append(self, splice: "Splice") -> int:
        """Put foreign text in; return by how many tokens the text grew."""
        before = len(self.ids)
        if splice.kept < before:
            self._replaced.append((splice.kept, self.ids[splice.kept :]))
        self.ids = [*self.ids[: splice.kept], *splice.added]
        return len(self.ids) - before

    def go_back(self, place: Place) -> None:
        """Go back to an earlier place of this text, undoing what later splices wrote again."""
        ids = self.ids
        for kept, replaced in reversed(self._replaced[place.splices :]):
            ids = [*ids[:kept], *replaced]
        del self._replaced[place.splices :]
        self.ids = ids[: place.length]

    def copy(self) -> "LiveIds":
        """Return a copy."""
        twin = LiveIds(self.codec, self.ids)
        twin._replaced = list(self._replaced)
        return twin


def ensure_distinct(labels: Sequence[str], ids: Sequence[int], name: str) -> None:
    """Refuse labels that cannot be told apart by their first tokens.

    Raises:
        ModelCallError: Two begin with the same token in the model `name`.
    """
    if len(set(ids)) < len(ids):
        raise ModelCallError(
            f"labels {', '.join(map(repr, labels))} begin with the same token in "
            f"{name!r}; choose labels that differ in their first token"
        )
