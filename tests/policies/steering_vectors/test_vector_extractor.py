"""Making a steering vector: which steps count, and with which sign."""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.steering_fakes import stepped_text

from collab.errors import TrainingError
from collab.extraction.extractor import default_layer
from collab.extraction.steps import SteppedText
from collab_policies.steering_vectors.extractor import VectorExtractor
from collab_policies.steering_vectors.selecting import Steps, pools_of
from collab_policies.thoughts import Keywords, Thought

SO, WAIT, ELSE = "So two.", "Wait, is it?", "Alternatively, add."


def texts(folder: Path, count: int = 6, steps: int = 8) -> list[SteppedText]:
    """Return texts of random states, every third step a reflection or a transition."""
    rng = random.Random(4)
    made = []
    for number in range(count):
        said = [SO if place % 3 else (WAIT, ELSE)[place % 2] for place in range(steps)]
        listed = [(one, [rng.gauss(0.3, 1) for _ in range(5)]) for one in said]
        made.append(stepped_text(folder, f"p{number}", listed, is_right=number % 2 == 0))
    return made


def made(found: Sequence[SteppedText], **options: object) -> np.ndarray:
    extractor = VectorExtractor.model_validate(options)
    return np.array(extractor.extract(found).vector)


# --- what is made -----------------------------------------------------------------------------


def test_seals_vector_is_the_difference_of_means_over_all_steps(tmp_path: Path) -> None:
    found = [
        stepped_text(tmp_path, "a", [(SO, [1, 0]), (WAIT, [4, 2]), (SO, [3, 0])]),
        stepped_text(tmp_path, "b", [(ELSE, [2, 4]), (SO, [2, 3])], is_right=False),
    ]

    extracted = VectorExtractor().extract(found)

    # ([4, 2] + [2, 4]) / 2 - ([1, 0] + [3, 0] + [2, 3]) / 3
    assert list(extracted.vector) == [1.0, 2.0]
    assert (extracted.layer, extracted.scale) == (1, -1.0)
    measures = extracted.measures
    assert [measures[one] for one in ("execution", "reflection", "transition")] == [3, 1, 1]
    assert (measures["plus"], measures["minus"]) == (2, 3)
    assert measures["norm"] == measures["seal_norm"] == pytest.approx(math.sqrt(5))
    assert measures["cosine_with_seal"] == pytest.approx(1.0)


@pytest.mark.parametrize("select", ["rank", "rank-texts"])
def test_at_percentile_0_a_filtered_vector_is_exactly_seals_turned_round(
    select: str, tmp_path: Path
) -> None:
    found = texts(tmp_path)

    filtered = made(found, select=select, percentile=0)

    assert (filtered == -made(found)).all()


def test_a_filtered_vector_is_applied_the_other_way_and_points_as_seals(tmp_path: Path) -> None:
    extracted = VectorExtractor(select="rank", percentile=40).extract(texts(tmp_path, 12))

    assert extracted.scale == 1.0
    assert float(str(extracted.measures["cosine_with_seal"])) > 0.5
    assert not (np.array(extracted.vector) == -made(texts(tmp_path, 12))).all()


def test_the_mean_that_ranks_are_taken_around_is_of_the_collected_states(tmp_path: Path) -> None:
    # All states share an offset; without the mean every window would look like a loop.
    rng = random.Random(1)
    listed = [(SO, [9 + rng.gauss(0, 1) for _ in range(5)]) for _ in range(8)]
    found = [stepped_text(tmp_path, "a", [*listed, (WAIT, [9.0, 8.0, 9.5, 9.0, 9.0])])]

    measures = VectorExtractor().extract(found).measures

    assert isinstance(measures["mean_rank"], dict)
    assert float(str(measures["mean_rank"]["execution"])) > 0.3
    assert measures["scored"] == 7  # of 9, the first two have no opinion


def test_stable_steps_are_those_that_do_the_same_again(tmp_path: Path) -> None:
    again = [[SO, SO], [SO, WAIT], [WAIT, WAIT], [WAIT, SO]]
    listed = [(SO, [1, 0]), (SO, [5, 5]), (WAIT, [2, 2]), (WAIT, [7, 7])]
    found = [stepped_text(tmp_path, "a", listed, again=again)]

    all_of_them = VectorExtractor(select="stable", stable_share=0.5).extract(found)
    strict = VectorExtractor(select="stable", stable_share=1).extract(found)

    assert list(strict.vector) == [1.0, 2.0]
    assert list(all_of_them.vector) == [1.5, 2.0]
    assert strict.scale == -1.0
    assert strict.measures["same_again"] == 0.75


def test_other_keywords_make_other_classes(tmp_path: Path) -> None:
    listed = [("Now z.", [3, 3]), (SO, [1, 0])]
    found = [stepped_text(tmp_path, "a", listed)]

    with pytest.raises(TrainingError, match="one class is empty"):
        made(found)
    assert list(made(found, keywords=Keywords(transition_starts=("now",)))) == [2.0, 3.0]


# --- which steps are taken --------------------------------------------------------------------


def steps(scores: Sequence[float], thoughts: Sequence[Thought] | None = None) -> Steps:
    count = len(scores)
    given: list[Thought] = ["execution"] * (count - 1)
    given = list(thoughts) if thoughts else [*given, "reflection"]
    numbers = np.arange(count) // 2
    return Steps(given, numbers, np.array(scores), np.full(count, np.nan))


@pytest.mark.parametrize("percentile", [0, 25, 40, 60, 75, 99])
def test_the_share_of_steps_that_is_kept_is_what_the_percentile_leaves(percentile: int) -> None:
    rng = random.Random(2)
    scores = [rng.random() for _ in range(1000)]

    pools = pools_of(
        steps(scores),
        "rank-contrast" if percentile else "rank",
        percentile=percentile,
        stable_share=1,
    )

    kept = int(pools.plus.sum()) + (0 if percentile else 1)  # the reflection is in the other pool
    assert kept == pytest.approx(1000 * (1 - percentile / 100), abs=1)


def test_steps_without_a_rank_are_kept_by_a_filter_and_in_neither_pool_of_the_contrast() -> None:
    scored = steps([math.nan, 0.1, 0.9, 0.8, 0.2, 0.7])

    filtered = pools_of(scored, "rank", percentile=50, stable_share=1)
    contrast = pools_of(scored, "rank-contrast", percentile=50, stable_share=1)

    # The median of .1 .9 .8 .2 .7 is .7.
    assert filtered.plus.tolist() == [True, False, True, True, False, False]
    assert filtered.minus.tolist() == [False] * 5 + [True]
    assert contrast.plus.tolist() == [False, False, True, True, False, True]
    assert contrast.minus.tolist() == [False, True, False, False, True, False]


def test_texts_are_filtered_by_their_mean_rank() -> None:
    thoughts: list[Thought] = ["execution", "reflection"] * 3
    scored = steps([0.9, 0.7, 0.1, 0.2, math.nan, math.nan], thoughts)

    pools = pools_of(scored, "rank-texts", percentile=50, stable_share=1)

    # Means .8 and .15, median .475; the last text has none and stays.
    assert pools.plus.tolist() == [True, False, False, False, True, False]
    assert pools.minus.tolist() == [False, True, False, False, False, True]


# --- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "options", "message"),
    [
        ([SO, SO], {}, r"of 2 steps \(2 execution, 0 reflection, 0 transition\).*one class"),
        ([WAIT], {}, "one class is empty; take more problems"),
        ([SO, WAIT], {"select": "stable"}, "no step of one class comes again"),
        ([SO, WAIT], {"select": "rank-contrast"}, "of 0 steps with a rank, none is on one side"),
    ],
)
def test_what_no_vector_can_be_made_of_is_told(
    said: list[str], options: dict[str, object], message: str, tmp_path: Path
) -> None:
    found = [stepped_text(tmp_path, "a", [(one, [1.0, 2.0]) for one in said])]

    with pytest.raises(TrainingError, match=message):
        made(found, **options)


def test_states_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    listed = [(SO, [1.0, 2.0]), (WAIT, [math.inf, 1.0])]

    with pytest.raises(TrainingError, match="the states hold NaN or infinity"):
        made([stepped_text(tmp_path, "a", listed)])


@pytest.mark.parametrize(
    "options", [{"percentile": 100}, {"layers": (1, 1)}, {"layers": (1,), "rank_layers": (2,)}]
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VectorExtractor.model_validate(options)


@pytest.mark.parametrize(
    ("blocks", "layer"), [(1, 0), (2, 1), (4, 3), (28, 20), (36, 26), (64, 46)]
)
def test_the_default_layer_is_at_0_72_of_the_blocks(blocks: int, layer: int) -> None:
    assert default_layer(blocks) == layer
