"""Weights of the branch network: as published, and as `collab train verifier` writes them."""

from pathlib import Path

import torch

from collab.collecting.cards import TrainedOn
from collab.training.cards import Card
from collab_policies.trained.mlp_trainer import MlpTrainer
from collab_policies.trained.network import BranchNetwork
from collab_policies.trained.weights import save_weights

WIDTH = 8
SHAPES = {
    "mlp.0.weight": (16, 8),
    "mlp.0.bias": (16,),
    **{f"mlp.1.{name}": (16,) for name in ("weight", "bias", "running_mean", "running_var")},
    "mlp.4.weight": (8, 16),
    "mlp.4.bias": (8,),
    **{f"mlp.5.{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")},
    "mlp.8.weight": (4, 8),
    "mlp.8.bias": (4,),
    "linear.weight": (1, 4),
    "linear.bias": (1,),
}
"""The published state of a generator whose hidden size is 8; counters of batches left out."""


def published_state() -> dict[str, torch.Tensor]:
    """Return weights by which the score is the sigmoid of the sum of the first layer's ReLU."""
    state = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for name in ("mlp.0.weight", "mlp.4.weight", "mlp.8.weight"):
        state[name] = torch.eye(*SHAPES[name])
    for norm in ("mlp.1", "mlp.5"):
        state[f"{norm}.weight"] += 1
        state[f"{norm}.running_var"] += 1
    state["linear.weight"] += 1
    state["linear.bias"] -= 2
    return state


def card(fingerprint: str = "f", **trainer: object) -> Card:
    options = MlpTrainer.model_validate(trainer)
    return Card(
        verifier="mlp",
        generator=TrainedOn(name="g", fingerprint=fingerprint),
        mentors={"mentor": "m"},
        threshold=options.threshold,
        trainer=options.model_dump(mode="json"),
        data={},
        metrics={},
        training={},
    )


def published(folder: Path) -> Path:
    path = folder / "branch_mlp.pth"
    torch.save(published_state(), path)
    return path


def ours(folder: Path, fingerprint: str = "f", width: int = WIDTH, **trainer: object) -> Path:
    torch.manual_seed(1)
    network = BranchNetwork(width)
    save_weights(folder / "verifier.safetensors", network, card(fingerprint, **trainer))
    return folder
