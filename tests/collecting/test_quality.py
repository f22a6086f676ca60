"""Measures of scores: against counts by hand and by brute force."""

import random

import pytest

from collab.collecting.quality import auroc, auroc_interval, brier, calibration_error


def brute_force(scores: list[float], labels: list[bool]) -> float:
    pairs = [
        (1.0 if true > false else 0.5 if true == false else 0.0)
        for true, is_true in zip(scores, labels, strict=True)
        for false, is_also in zip(scores, labels, strict=True)
        if is_true and not is_also
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(20))
def test_the_auroc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = random.Random(seed)
    # Few different scores, so that many are equal.
    scores = [rng.randrange(6) / 5 for _ in range(40)]
    labels = [True, False, *(rng.random() < 0.3 for _ in range(38))]

    assert auroc(scores, labels) == pytest.approx(brute_force(scores, labels))


def test_counts_weigh_like_copies() -> None:
    scores, labels, counts = [0.1, 0.4, 0.4, 0.8], [False, True, False, True], [3, 1, 2, 0]
    copied_scores = [0.1, 0.1, 0.1, 0.4, 0.4, 0.4]
    copied_labels = [False, False, False, True, False, False]

    assert auroc(scores, labels, counts) == auroc(copied_scores, copied_labels)


def test_perfect_and_reversed_scores() -> None:
    assert auroc([0.1, 0.9], [False, True]) == 1.0
    assert auroc([0.9, 0.1], [False, True]) == 0.0
    assert auroc([0.5, 0.5], [False, True]) == 0.5


def test_one_class_has_no_auroc() -> None:
    with pytest.raises(ValueError, match="an AUROC needs both true and false labels"):
        auroc([0.1, 0.9], [True, True])


def test_the_interval_is_around_the_auroc_and_repeatable() -> None:
    rng = random.Random(5)
    labels = [rng.random() < 0.5 for _ in range(200)]
    scores = [rng.gauss(float(label), 1.0) for label in labels]
    groups = [str(number) for number in range(200)]

    low, high = auroc_interval(scores, labels, groups, seed=1)

    assert low < auroc(scores, labels) < high
    assert 0.05 < high - low < 0.25
    assert auroc_interval(scores, labels, groups, seed=1) == (low, high)


def test_branches_that_share_a_problem_make_the_interval_wider() -> None:
    rng = random.Random(6)
    labels, scores, problems = [], [], []
    for problem in range(40):
        label, luck = rng.random() < 0.5, rng.gauss(0, 1)
        for _ in range(5):
            labels.append(label)
            scores.append(luck + 0.5 * label)
            problems.append(str(problem))

    together = auroc_interval(scores, labels, problems)
    apart = auroc_interval(scores, labels, [str(number) for number in range(200)])

    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def test_nothing_is_known_where_no_draw_has_both_classes() -> None:
    # One group: every draw is all of it, and it is of one class each.
    assert auroc_interval([0.2], [True], ["a"]) == (0.0, 1.0)


def test_the_brier_score_is_the_mean_square() -> None:
    # (0.8 - 1)^2 = 0.04, (0.4 - 0)^2 = 0.16
    assert brier([0.8, 0.4], [True, False]) == pytest.approx(0.10)


def test_the_calibration_error_compares_scores_and_shares_bin_by_bin() -> None:
    scores = [0.72, 0.78, 0.12, 1.0]
    labels = [True, False, False, True]

    # bin 7: |1.50 - 1| = 0.50; bin 1: 0.12; bin 9: 0; over 4
    assert calibration_error(scores, labels) == pytest.approx(0.62 / 4)
