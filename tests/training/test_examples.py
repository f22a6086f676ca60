"""Labels of branches, the split by problem, and what cannot be trained on."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from collab.errors import TrainingError
from collab.training.branches import Branch, keep_branches, read_branches
from collab.training.examples import (
    Example,
    ensure_enough,
    example_of,
    examples_of,
    is_held_out,
    place_of,
)


def branch(own_right: float, offered_right: float, samples: int = 1) -> Branch:
    return Branch(3, " own", " offered", own_right, offered_right, samples, [0.5, -2.0])


def examples(own: int, offered: int) -> list[Example]:
    return [
        Example(f"p{number}", [0.0], 1.0 if number < own else 0.0, 1.0)
        for number in range(own + offered)
    ]


def test_the_way_that_leads_to_the_right_answer_is_the_label() -> None:
    own, offered = example_of("p", branch(1.0, 0.0)), example_of("p", branch(0.0, 1.0))

    assert own == Example("p", [0.5, -2.0], target=1.0, weight=1.0)
    assert offered == Example("p", [0.5, -2.0], target=0.0, weight=1.0)


def test_with_several_samples_a_branch_counts_by_how_much_more_often() -> None:
    assert example_of("p", branch(0.25, 0.75, samples=4)) == Example("p", [0.5, -2.0], 0.0, 0.5)


def test_a_tie_is_dropped_or_counts_for_neither_way() -> None:
    assert example_of("p", branch(1.0, 1.0)) is None
    assert example_of("p", branch(1.0, 1.0), tie_weight=0.2) == Example("p", [0.5, -2.0], 0.5, 0.2)


def test_all_branches_of_all_problems_become_examples() -> None:
    found = {"p": [branch(1, 0), branch(1, 1)], "q": [], "r": [branch(0, 1)]}

    made = examples_of(found, tie_weight=0)

    assert [(one.problem, one.target) for one in made] == [("p", 1.0), ("r", 0.0)]


def test_a_problem_is_on_one_side_whatever_else_there_is() -> None:
    names = [f"problem-{number}" for number in range(2_000)]

    held_out = [name for name in names if is_held_out(name, seed=0, share=0.25)]

    # 500 expected; 0.25 * 0.75 * 2000 = 375, so 19.4 is one deviation
    assert 500 - 60 < len(held_out) < 500 + 60
    assert set(held_out) < {name for name in names if is_held_out(name, seed=0, share=0.4)}
    assert held_out != [name for name in names if is_held_out(name, seed=1, share=0.25)]


def test_two_splits_of_the_same_problems_are_independent() -> None:
    first = [place_of(f"p{n}", seed=0, split="held-out") < 0.5 for n in range(1_000)]
    second = [place_of(f"p{n}", seed=0, split="set-aside") < 0.5 for n in range(1_000)]

    same = sum(one == other for one, other in zip(first, second, strict=True))

    # 500 expected, 15.8 is one deviation
    assert 440 < same < 560


def test_branches_survive_the_disk(tmp_path: Path) -> None:
    branches = (branch(0.25, 0.75, 4), branch(1, 0))

    row = {"id": "p", **keep_branches(tmp_path, "p", branches)}

    assert read_branches(row, tmp_path) == branches


def test_a_problem_without_branches_needs_no_file(tmp_path: Path) -> None:
    row = {"id": "p", **keep_branches(tmp_path, "p", ())}

    assert read_branches(row, tmp_path) == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ({"branches": [{"unit": 3}]}, r"own\n  Field required"),
        ({"branches": 3}, "Input should be a valid tuple"),
        ({"states": None}, "shorter than"),
    ],
)
def test_damaged_branches_are_told(
    damage: dict[str, JsonValue], match: str, tmp_path: Path
) -> None:
    row = {"id": "p", **keep_branches(tmp_path, "p", (branch(1, 0),))}

    with pytest.raises(ValueError, match=match):
        read_branches(row | damage, tmp_path)


def test_enough_of_both_classes_can_be_trained_on() -> None:
    ensure_enough(examples(28, 4), examples(4, 4), Path("kept"))


@pytest.mark.parametrize(
    ("learnt", "measured", "why"),
    [
        ((0, 40), (4, 4), "they are of one class (to train on: 0 where the generator's way is"),
        ((40, 0), (4, 4), "they are of one class"),
        ((20, 20), (0, 9), "they are of one class"),
        ((8, 8), (4, 4), "they are too few (to train on: 8 where the generator's way is right and"),
        ((20, 20), (0, 0), "held out: 0 where the generator's way is right and 0 where"),
    ],
)
def test_one_class_or_too_few_are_refused_and_what_was_collected_is_named(
    learnt: tuple[int, int], measured: tuple[int, int], why: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        ensure_enough(examples(*learnt), examples(*measured), Path("runs/kept"))

    assert why in str(raised.value)
    assert "What was collected is kept in runs/kept" in str(raised.value)


def test_ties_do_not_make_up_for_labels() -> None:
    ties = [Example(f"t{n}", [0.0], 0.5, 1.0) for n in range(100)]

    with pytest.raises(TrainingError, match="they are too few"):
        ensure_enough([*examples(5, 5), *ties], examples(5, 5), Path("kept"))


@pytest.mark.parametrize(("are_all_taken", "told"), [(False, True), (True, False)])
def test_a_higher_limit_is_advised_only_where_there_are_more_problems(
    are_all_taken: bool, told: bool
) -> None:
    with pytest.raises(TrainingError) as raised:
        ensure_enough(examples(8, 8), examples(4, 4), Path("kept"), are_all_taken=are_all_taken)

    assert ("a higher --limit adds to it" in str(raised.value)) is told
    assert ("in another directory, more problems, a higher rate" in str(raised.value)) is not told
