"""What the sessions of one local model share."""

from collections.abc import Sequence
from dataclasses import dataclass

from collab.errors import ModelCallError
from collab.proposals import Candidate
from collab_backends.local.engine import Engine
from collab_backends.tokenizing.codec import TextCodec


@dataclass(frozen=True, slots=True)
class Seat:
    """What the sessions of one model share.

    Attributes:
        name: The model's name.
        engine: Works on the jobs.
        codec: The model's tokenizer.
        end_ids: Tokens that end a text.
        context_tokens: Longest text.
        embedding_rows: Ids from here on cannot be fed.
    """

    name: str
    engine: Engine
    codec: TextCodec
    end_ids: frozenset[int]
    context_tokens: int
    embedding_rows: int

    def candidates(self, likeliest: Sequence[tuple[int, float]]) -> tuple[Candidate, ...]:
        """Return tokens with their log-probabilities as candidates; those that end have no text."""
        return tuple(
            Candidate(one, "" if one in self.end_ids else self.codec.piece(one), logprob)
            for one, logprob in likeliest
        )

    def ensure_known(self, ids: Sequence[int]) -> None:
        """Refuse ids that would fail inside the model, where they could harm others.

        Raises:
            ModelCallError: One has no embedding.
        """
        if (largest := max(ids, default=0)) >= self.embedding_rows:
            raise ModelCallError(
                f"token id {largest} is outside the {self.embedding_rows} embeddings of "
                f"{self.name!r}; its tokenizer belongs to another model"
            )
