"""Passes of one text after another, through the model's own attention and cache.

Slow, but right for models that cannot share passes: those with state outside attention, with
attention sinks, or whose code takes no attention of ours.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from collab_backends.local.generic_cache import OwnCache, OwnMemory, forward_with_cache
from collab_backends.local.generic_probe import OwnCacheFacts
from collab_backends.local.jobs import Job
from collab_backends.local.passes import Passes, begin, observed_rows, readings, wanted_rows
from collab_backends.local.scheduler import Share
from collab_backends.local.signals import Rows
from collab_backends.local.steering import HiddenStates, token_id

_ALL = 2**31
"""More tokens than all contexts have that wait together."""


class GenericPasses(Passes):
    """Plain forward passes, each with the new tokens of one text.

    Args:
        model: Any causal model with a cache.
        hidden: The hooks on its hidden states.
        most_tokens: How many tokens all caches together may hold.
        facts: What is known of its cache.
    """

    memory: OwnMemory

    def __init__(
        self,
        model: PreTrainedModel,
        hidden: HiddenStates,
        most_tokens: int,
        facts: OwnCacheFacts,
    ) -> None:
        super().__init__(model, OwnMemory(most_tokens, facts.fixed_tokens), hidden)
        self._facts = facts

    @property
    def chunk_tokens(self) -> int:
        """Context tokens of one pass; whole contexts where the model takes no pieces."""
        return super().chunk_tokens if self._facts.takes_pieces else _ALL

    def _forward_split(self, shares: Sequence[Share]) -> list[Job]:
        # What one text has computed is not undone by another's failure.
        done: list[Job] = []
        for share in shares:
            done += super()._forward_split([share])
        return done

    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        (share,) = shares
        cache = begin(share)
        is_whole = self._facts.takes_pieces or not cache.length
        for tokens in [share.tokens] if is_whole else [1] * share.tokens:
            if done := self._compute(Share(share.job, tokens)):
                return done
        return []

    def _compute(self, share: Share) -> list[Job]:
        job, cache = share.job, share.job.cache
        assert isinstance(cache, OwnCache), "this memory makes no others"
        keys = job.pending[: share.tokens]
        wanted = [wanted_rows(share)]
        # Logits of one row at least, as some models take 0 for all.
        logit_rows = list(range(len(keys) - max(wanted[0], 1), len(keys)))
        observed = observed_rows([share], wanted, [keys[row] for row in logit_rows])
        self.hidden.prepare(keys, logit_rows, observed)
        try:
            logits = self._logits(cache, keys, logit_rows)
        except BaseException:
            # Some of its layers may hold the new tokens already.
            job.pending = [*cache.tokens, *job.pending]
            cache.forget()
            raise
        self.forwards += 1
        return self._take([share], wanted, Rows(logits, readings(self.hidden, observed)))

    def _logits(self, cache: OwnCache, keys: list[int], rows: list[int]) -> torch.Tensor:
        logits, cache.state = forward_with_cache(
            self.model,
            [token_id(key) for key in keys],
            cache.state,
            cache.length,
            arguments=self._facts.arguments,
            rows=rows,
        )
        return logits
