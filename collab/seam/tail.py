"""The tokens a session has decoded after its head: replayed, committed, dropped, copied."""

from collections.abc import Iterable, Sequence

from collab.proposals import Token, Until
from collab.seam.scanning import ProposalBuilder


class Tail:
    """Tokens that were decoded after a session's head and are not committed yet.

    Attributes:
        tokens: These tokens, in order.
        has_ended: Whether the model ended its text after them.
    """

    __slots__ = ("has_ended", "tokens")

    def __init__(self, tokens: Iterable[Token] = (), *, has_ended: bool = False) -> None:
        self.tokens = list(tokens)
        self.has_ended = has_ended

    @property
    def text(self) -> str:
        """The text of all tokens."""
        return "".join(token.text for token in self.tokens)

    @property
    def ids(self) -> list[int]:
        """The ids of all tokens."""
        return [token.id for token in self.tokens]

    def replay(self, until: Until, before: str, more: Sequence[Token] = ()) -> ProposalBuilder:
        """Return a builder that was fed these tokens, and then `more`, as far as it wants them.

        Args:
            until: When to stop.
            before: The text before the head; see `ProposalBuilder`.
            more: Tokens that are not part of the tail yet.

        Returns:
            A builder that is done if no further token is wanted, or none is to come.
        """
        builder = ProposalBuilder(until, before)
        for token in (*self.tokens, *more):
            if builder.feed(token):
                return builder
        if self.has_ended:
            builder.end("eos")
        return builder

    def commit(self, count: int) -> list[Token]:
        """Remove the first `count` tokens and return them, for the head to move over them.

        Raises:
            ValueError: `count` is negative, or larger than the number of tokens.
        """
        if not 0 <= count <= len(self.tokens):
            raise ValueError(f"{count} tokens to commit, {len(self.tokens)} were decoded")
        committed = self.tokens[:count]
        del self.tokens[:count]
        return committed

    def drop(self) -> None:
        """Forget all tokens, and that the text ended after them."""
        self.tokens.clear()
        self.has_ended = False

    def copy(self) -> "Tail":
        """Return an independent copy."""
        return Tail(self.tokens, has_ended=self.has_ended)
