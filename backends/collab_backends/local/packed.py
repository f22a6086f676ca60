"""Passes in which the new tokens of all texts stand in one row, each text with its own cache."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from collab_backends.local.attention import AttentionPlan, Piece
from collab_backends.local.cache import SequenceCache
from collab_backends.local.jobs import Job
from collab_backends.local.memory import CacheMemory
from collab_backends.local.passes import Passes, begin, observed_rows, readings, wanted_rows
from collab_backends.local.placement import input_device, kept_rows
from collab_backends.local.scheduler import Share
from collab_backends.local.signals import Rows
from collab_backends.local.steering import HiddenStates, token_id
from collab_backends.local.turns import SMALL_PARAMETERS

_FULL = 4
"""Rows that MKL multiplies at once: it takes longer for three than for four."""


class PackedPasses(Passes):
    """Eager passes through our attention; right for every model that takes it.

    Args:
        model: A model whose attention is ours, see `loading.prepare`.
        hidden: The hooks on its hidden states.
        most_tokens: How many tokens all caches together may hold.
    """

    memory: CacheMemory

    def __init__(self, model: PreTrainedModel, hidden: HiddenStates, most_tokens: int) -> None:
        super().__init__(model, CacheMemory(most_tokens), hidden)
        is_large = model.num_parameters() >= SMALL_PARAMETERS
        self._fills_up = is_large and model.device.type == "cpu" and model.dtype == torch.float32

    def _forward(self, shares: Sequence[Share]) -> list[Job]:
        keys: list[int] = []
        positions: list[int] = []
        pieces: list[Piece] = []
        logit_rows: list[int] = []
        wanted: list[int] = []
        for share in shares:
            cache, start = begin(share), len(keys)
            keys += share.job.pending[: share.tokens]
            positions += range(cache.length, cache.length + share.tokens)
            assert isinstance(cache, SequenceCache), "this memory makes no others"
            pieces.append(Piece(cache, start, len(keys)))
            wanted.append(wanted_rows(share))
            logit_rows += range(len(keys) - wanted[-1], len(keys))
        observed = observed_rows(shares, wanted, [keys[row] for row in logit_rows])
        self.hidden.prepare(keys, logit_rows, observed)
        logits = self._logits(keys, positions, logit_rows, AttentionPlan(tuple(pieces)))
        self.forwards += 1
        return self._take(shares, wanted, Rows(logits, readings(self.hidden, observed)))

    def _logits(
        self, keys: list[int], positions: list[int], rows: list[int], plan: AttentionPlan
    ) -> torch.Tensor:
        device = input_device(self.model)
        spare = [0] * (_FULL - len(keys)) if self._fills_up and len(keys) == _FULL - 1 else []
        output = self.model(
            input_ids=torch.tensor([[*map(token_id, keys), *spare]], device=device),
            position_ids=torch.tensor([[*positions, *spare]], device=device),
            use_cache=False,
            logits_to_keep=kept_rows(self.model, rows),
            plan=plan,
        )
        logits: torch.Tensor = output.logits[0]
        return logits
