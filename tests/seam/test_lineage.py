import pytest

from collab.seam.lineage import Lineage


def test_a_mark_leads_back_to_its_place_again_and_again() -> None:
    lineage: Lineage[str] = Lineage()
    start = lineage.mark("start")
    lineage.move()

    assert lineage.go_back(start) == lineage.go_back(start) == "start"


def test_a_mark_ahead_of_the_head_is_refused() -> None:
    lineage: Lineage[str] = Lineage()
    start = lineage.mark("start")
    lineage.move()
    ahead = lineage.mark("ahead")
    lineage.go_back(start)

    with pytest.raises(ValueError, match="is no mark of this session, or lies ahead of its head"):
        lineage.go_back(ahead)


def test_a_mark_on_a_way_that_was_left_is_refused() -> None:
    lineage: Lineage[str] = Lineage()
    start = lineage.mark("start")
    lineage.move()
    left = lineage.mark("left")
    lineage.go_back(start)
    lineage.move()
    lineage.move()

    with pytest.raises(ValueError, match="is no mark of this session"):
        lineage.go_back(left)


def test_a_mark_of_another_session_is_refused() -> None:
    other: Lineage[str] = Lineage()

    for foreign in (other.mark("there"), object()):
        with pytest.raises(ValueError, match="is no mark of this session"):
            Lineage[str]().go_back(foreign)


def test_a_copy_goes_back_to_earlier_marks_and_not_to_later_ones_of_the_other() -> None:
    lineage: Lineage[str] = Lineage()
    lineage.move()
    shared = lineage.mark("shared")
    twin = lineage.copy()
    lineage.move()
    twin.move()

    with pytest.raises(ValueError, match="is no mark of this session"):
        twin.go_back(lineage.mark("mine"))
    assert twin.go_back(shared) == "shared"
