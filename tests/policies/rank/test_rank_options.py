"""Options choose the reading, and refuse what does not go together."""

import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.trajectories import draw_states

from collab_policies.rank.options import RankOptions, upper_layers
from collab_policies.rank.scores import (
    RankReading,
    effective_rank,
    numerical_rank,
    read_folded,
    read_modes,
    read_steps,
    read_tokens,
)
from collab_policies.rank.trajectory import Trajectory


def filled(options: RankOptions) -> Trajectory:
    trajectory = options.start()
    for step in draw_states(np.random.default_rng(3), 6, layers=len(options.layers)):
        trajectory.push(list(step))
    return trajectory


def test_by_default_it_is_the_effective_rank_of_the_last_eight_steps() -> None:
    options = RankOptions(layers=(20,))
    trajectory = filled(options)

    assert trajectory.window == 8
    assert options.read(trajectory) == read_steps(trajectory, effective_rank)


def test_every_reading_can_be_chosen() -> None:
    numerical = RankOptions(layers=(1, 2), notion="numerical", tolerance=0.6, window=5)
    all_modes = RankOptions(layers=(1, 2), modes="all")
    folded = RankOptions(layers=(1,), definition="folded", fold=(3, 8))
    held = {options: filled(options) for options in (numerical, all_modes, folded)}

    assert numerical.read(held[numerical]) == read_steps(
        held[numerical], lambda values: numerical_rank(values, 0.6)
    )
    assert all_modes.read(held[all_modes]) == read_modes(held[all_modes], effective_rank)
    assert folded.read(held[folded]) == read_folded(held[folded], effective_rank, (3, 8))


@pytest.mark.parametrize(("share", "rank"), [(0.9, 2), (0.97, 3)])
def test_tokens_are_read_at_a_share_of_the_energy(share: float, rank: int) -> None:
    options = RankOptions(layers=(1,), definition="tokens", notion="numerical", energy_share=share)
    # Of 40 tokens, 20, 17 and 3 go in one direction each: two hold 0.925 of the energy.
    tokens = np.eye(50)[[0] * 20 + [1] * 17 + [2] * 3]

    assert options.read(options.start(), list(tokens)) == RankReading((rank,), (40,), rank / 40)


def test_tokens_are_normalised_as_the_trajectory_says() -> None:
    options = RankOptions(layers=(1,), definition="tokens")
    states = list(draw_states(np.random.default_rng(0), 9, width=4)[:, 0])
    mean = [[0.5, -0.5, 0.0, 0.1]]
    trajectory = options.start(mean)

    expected = read_tokens(trajectory.normaliser.tokens(states), effective_rank)

    assert options.read(trajectory, states) == expected
    assert expected != options.read(options.start(), states)


def test_the_score_is_that_of_the_reading_or_nothing() -> None:
    options = RankOptions(layers=(1,))
    trajectory = filled(options)
    reading = options.read(trajectory)

    assert reading is not None
    assert options.score(trajectory) == reading.score
    assert options.score(options.start()) is None
    assert RankOptions(layers=(1,), definition="tokens").score(trajectory) is None


def test_options_are_a_frozen_value_that_survives_a_record() -> None:
    options = RankOptions(layers=(1, 2), notion="numerical", window=4)

    assert RankOptions.model_validate_json(options.model_dump_json()) == options
    with pytest.raises(ValidationError, match="frozen"):
        options.window = 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ()}, "at least 1 item"),
        ({"layers": (3, 3)}, "has to name layers from 0 on, each once"),
        ({"layers": (-1,)}, "has to name layers from 0 on, each once"),
        ({"layers": (1,), "window": 1}, "greater than or equal to 2"),
        ({"layers": (1,), "tolerance": 1.0}, "less than 1"),
        ({"layers": (1, 2), "definition": "folded"}, "'folded' reads one layer, 2 named"),
        ({"layers": (1, 2), "definition": "tokens"}, "'tokens' reads one layer, 2 named"),
        ({"layers": (1,), "definition": "tokens", "modes": "all"}, "modes 'all' are those of"),
        ({"layers": (1,), "fold": (4, 6)}, "a fold is of the definition 'folded'"),
        ({"layers": (1,), "definition": "folded", "fold": (0, 6)}, "two numbers of at least 1"),
        ({"layers": (1,), "centre": "window"}, "Extra inputs"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        RankOptions(**options)


def test_a_trajectory_of_other_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="1 layers held, 2 in the options"):
        RankOptions(layers=(1, 2)).read(Trajectory(8))


def test_layers_are_proposed_in_the_upper_half() -> None:
    assert upper_layers(28) == (15, 19, 22, 26)
    assert upper_layers(28, 1) == (21,)
    assert upper_layers(36, 1) == (27,)
    assert upper_layers(4, 2) == (2, 3)
    with pytest.raises(ValueError, match="4 layers of the upper half of 6 blocks"):
        upper_layers(6)
