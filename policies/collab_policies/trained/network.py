"""The published network that scores a branch."""

from collections.abc import Sequence

import torch
from torch import nn

DROPOUT = 0.1


class BranchNetwork(nn.Module):
    """From a hidden state to the logit of the generator's way being the right one.

    Linear(n, 2n), batch norm, ReLU, dropout; Linear(2n, n), batch norm, ReLU, dropout;
    Linear(n, n/2), dropout; Linear(n/2, 1). The names of its weights are the published ones.

    References:
        MentorCollab, arXiv:2602.05307. There the score is the sigmoid of this logit, and above
        0.5 the generator's segment is taken.

    Args:
        width: n, the numbers read at a branch, at least 2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(2 * width, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width // 2),
            nn.Dropout(DROPOUT),
        )
        self.linear = nn.Linear(width // 2, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits `(B,)` of states `(B, n)`."""
        logits: torch.Tensor = self.linear(self.mlp(states)).squeeze(-1)  # (B, n) -> (B,)
        return logits

    @torch.inference_mode()
    def scores(self, states: Sequence[Sequence[float]]) -> list[float]:
        """Return probabilities in `[0, 1]` of states, each computed as if it were alone."""
        weights = next(self.parameters())
        was_training = self.training
        self.train(mode=False)
        logits = [
            float(self(torch.tensor([list(one)], dtype=weights.dtype, device=weights.device))[0])
            for one in states
        ]
        self.train(mode=was_training)
        return torch.tensor(logits, dtype=torch.float64).sigmoid().tolist()
