"""Training the network of the verifier `mlp`."""

import random
from pathlib import Path
from statistics import fmean

import pytest
import torch
from support.mlp_weights import WIDTH, card

from collab.errors import TrainingError
from collab.training.examples import Example
from collab_policies.trained.mlp_trainer import MlpTrainer
from collab_policies.trained.training import train
from collab_policies.trained.weights import load_weights


def separable(count: int) -> list[Example]:
    """Return examples whose class is the sign of one number among noise of another scale."""
    rng = random.Random(3)
    made = []
    for number in range(count):
        target = float(rng.random() < 0.4)
        noise = [rng.gauss(50, 30) for _ in range(WIDTH - 1)]
        state = [1e-2 * (2 * target - 1 + rng.gauss(0, 0.4)), *noise]
        made.append(Example(f"p{number // 2}", state, target, 1.0))
    return made


@pytest.mark.parametrize("patience", [0, 5])
def test_it_learns_what_can_be_told_and_says_how_it_ended(patience: int) -> None:
    learnt, measured = separable(300)[:200], separable(300)[200:]

    trained = train(learnt, MlpTrainer(epochs=patience * 40 or 30, patience=patience), seed=0)

    scores = trained.scores([one.state for one in measured])
    right = sum((s > 0.5) == (e.target > 0.5) for s, e in zip(scores, measured, strict=True))
    assert right >= 85
    assert trained.notes["ended_by"] == ("patience" if patience else "epochs")
    assert (trained.notes["set_aside"] == 0) == (patience == 0)


def test_the_same_seed_gives_the_same_network_and_draws_from_no_other_stream() -> None:
    options = MlpTrainer(epochs=3)
    torch.manual_seed(11)
    expected = float(torch.rand(1))

    torch.manual_seed(11)
    first = train(separable(60), options, seed=1)
    drawn = float(torch.rand(1))
    again, other = (train(separable(60), options, seed=seed) for seed in (1, 2))

    state = separable(1)[0].state
    assert first.scores([state]) == again.scores([state])
    assert first.scores([state]) != other.scores([state])
    assert drawn == expected


def test_ties_pull_to_neither_way_and_balance_lets_a_rare_class_count() -> None:
    rng = random.Random(9)
    noise = [[rng.gauss(0, 1) for _ in range(WIDTH)] for _ in range(600)]
    rare = [Example(f"p{n}", noise[n], float(n < 50), 1.0) for n in range(500)]
    ties = [Example(f"t{n}", noise[n], 0.5, 3.0) for n in range(500, 600)]

    def mean_score(examples: list[Example], *, is_balanced: bool = False) -> float:
        options = MlpTrainer(epochs=30, patience=0, is_balanced=is_balanced)
        return fmean(train(examples, options, seed=0).scores(noise))

    # 50 of 500 are the generator's; balanced half is; with ties (50 + 150) of 800
    assert mean_score(rare) == pytest.approx(0.1, abs=0.05)
    assert mean_score(rare, is_balanced=True) == pytest.approx(0.5, abs=0.15)
    assert mean_score([*rare, *ties]) == pytest.approx(0.25, abs=0.08)


def test_what_is_saved_scores_as_what_was_trained(tmp_path: Path) -> None:
    trained = train(separable(60), MlpTrainer(epochs=3), seed=0)
    states = [one.state for one in separable(60)]

    trained.save(tmp_path, card())
    loaded = load_weights(tmp_path)

    assert loaded.network.scores(states) == trained.scores(states)
    assert loaded.card == card()


def test_states_of_different_widths_cannot_be_learnt_from() -> None:
    mixed = [*separable(40), Example("q", [0.0], 1.0, 1.0)]

    with pytest.raises(TrainingError, match=r"states of \[1, 8\] numbers cannot be learnt from"):
        train(mixed, MlpTrainer(epochs=1), seed=0)
