"""The training loop of the branch network."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from collab.errors import TrainingError
from collab.training.cards import Card
from collab.training.examples import Example, place_of
from collab_policies.trained.network import BranchNetwork
from collab_policies.trained.training_options import TrainingOptions
from collab_policies.trained.weights import WEIGHTS_NAME, save_weights

_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True, slots=True)
class TrainedMlp:
    """A trained network; see `collab.training.trainer.Trained`."""

    network: BranchNetwork
    notes: Mapping[str, JsonValue]

    def scores(self, states: Sequence[Sequence[float]]) -> list[float]:
        """Return the scores of states."""
        return self.network.scores(states)

    def save(self, folder: Path, card: Card) -> Path:
        """Write the network with its card."""
        path = folder / WEIGHTS_NAME
        save_weights(path, self.network, card)
        return path


@dataclass(frozen=True, slots=True)
class _Batch:
    """Branches: states `(B, n)`, targets and weights `(B,)`."""

    states: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, rows: torch.Tensor) -> "_Batch":
        return _Batch(self.states[rows], self.targets[rows], self.weights[rows])

    def loss(self, network: BranchNetwork) -> torch.Tensor:
        """Return the weighted mean cross-entropy."""
        losses = binary_cross_entropy_with_logits(
            network(self.states), self.targets, reduction="none"
        )
        return (losses * self.weights).sum() / self.weights.sum()


@dataclass(frozen=True, slots=True)
class _Scale:
    """How states are standardised: their mean and deviation over the branches learnt from, `(n,)`.

    Numbers that never change have the deviation 1.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, states: torch.Tensor) -> "_Scale":
        deviation, mean = torch.std_mean(states, dim=0, correction=0)
        return cls(mean, torch.where(deviation > _LEAST_DEVIATION, deviation, 1.0))

    def applied(self, batch: _Batch) -> _Batch:
        states = (batch.states - self.mean) / self.deviation
        return _Batch(states, batch.targets, batch.weights)

    @torch.no_grad()
    def fold_into(self, network: BranchNetwork) -> None:
        """Change the first layer so that it does with raw states what it did with scaled ones."""
        first = network.mlp[0]
        assert isinstance(first, nn.Linear), "it is built so"
        first.weight.div_(self.deviation)
        first.bias.sub_(first.weight @ self.mean)


def train(examples: Sequence[Example], options: TrainingOptions, *, seed: int) -> TrainedMlp:
    """Train a network; see `collab_policies.trained.mlp_trainer.MlpTrainer`.

    Raises:
        TrainingError: States are of different widths, or training came to no number.
    """
    widths = {len(one.state) for one in examples}
    if len(widths) != 1:
        raise TrainingError(f"states of {sorted(widths)} numbers cannot be learnt from together")
    learnt, aside = _set_apart(examples, options, seed)
    device = _device(options.device)
    # Dropout draws from torch's own stream, which is somebody else's too.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = BranchNetwork(widths.pop()).to(device)
        data = _as_batch(learnt, options, device)
        scale = _Scale.of(data.states)
        held = scale.applied(_as_batch(aside, options, device)) if aside else None
        notes = _run(network, scale.applied(data), held, options)
    scale.fold_into(network)
    network = network.to("cpu")
    network.train(mode=False)
    if not all(bool(torch.isfinite(one).all()) for one in network.state_dict().values()):
        raise TrainingError("training came to no number; lower trainer.learning_rate")
    return TrainedMlp(network, {**notes, "branches": len(learnt), "set_aside": len(aside)})


def _run(
    network: BranchNetwork, data: _Batch, held: _Batch | None, options: TrainingOptions
) -> dict[str, JsonValue]:
    """Train until it is over; leave the best weights in the network."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    best, best_epoch, best_loss = copy.deepcopy(network.state_dict()), 0, float("inf")
    epoch = 0
    for epoch in range(1, options.epochs + 1):
        network.train()
        for batch in _batches(data, options.batch_size):
            optimizer.zero_grad()
            batch.loss(network).backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
        if held is None:
            continue
        loss = _evaluated(network, held)
        if loss < best_loss:
            best, best_epoch, best_loss = copy.deepcopy(network.state_dict()), epoch, loss
        elif epoch - best_epoch >= options.patience:
            break
    if held is None:
        return {"epochs": epoch, "ended_by": "epochs"}
    network.load_state_dict(best)
    ended_by = "patience" if epoch - best_epoch >= options.patience else "epochs"
    return {"epochs": epoch, "best_epoch": best_epoch, "loss": best_loss, "ended_by": ended_by}


def _batches(data: _Batch, size: int) -> Iterator[_Batch]:
    """Yield all branches in a random order, in batches of nearly one size, at least 2 each."""
    order = torch.randperm(len(data)).to(data.targets.device)
    for rows in torch.tensor_split(order, -(-len(data) // size)):
        yield data.part(rows)


@torch.no_grad()
def _evaluated(network: BranchNetwork, held: _Batch) -> float:
    network.train(mode=False)
    return float(held.loss(network))


def _set_apart(
    examples: Sequence[Example], options: TrainingOptions, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return what is learnt from, and what says when to stop; no problem is on both sides."""
    share = options.set_aside if options.patience else 0.0

    def is_aside(one: Example) -> bool:
        return place_of(one.problem, seed=seed, split="set-aside") < share

    return [one for one in examples if not is_aside(one)], [
        one for one in examples if is_aside(one)
    ]


def _as_batch(
    examples: Sequence[Example], options: TrainingOptions, device: torch.device
) -> _Batch:
    targets = torch.tensor([one.target for one in examples])
    weights = torch.tensor([one.weight for one in examples])
    if options.is_balanced:
        for target in (0.0, 1.0):
            weights[targets == target] /= weights[targets == target].sum().clamp(min=1e-9)
    states = torch.tensor([list(one.state) for one in examples])
    return _Batch(states.to(device), targets.to(device), weights.to(device))


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no cuda device here; set trainer.device=cpu")
    is_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if is_cuda else "cpu")
