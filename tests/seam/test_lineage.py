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


def test_a_fork_goes_back_to_earlier_marks_and_not_to_later_ones_of_the_other() -> None:
    lineage: Lineage[str] = Lineage()
    lineage.move()
    shared = lineage.mark("shared")
    twin = lineage.fork()
    lineage.move()
    twin.move()

    with pytest.raises(ValueError, match="is no mark of this session"):
        twin.go_back(lineage.mark("mine"))
    assert twin.go_back(shared) == "shared"


def test_an_adopted_fork_brings_its_own_marks_and_the_shared_ones() -> None:
    lineage: Lineage[str] = Lineage()
    shared = lineage.mark("shared")
    twin = lineage.fork()
    lineage.move()
    mine = lineage.mark("mine")
    twin.move()
    theirs = twin.mark("theirs")

    lineage.adopt(twin)

    with pytest.raises(ValueError, match="is no mark of this session"):
        lineage.go_back(mine)
    assert [lineage.go_back(mark) for mark in (theirs, shared)] == ["theirs", "shared"]


def test_only_an_open_fork_that_was_not_adopted_is_one() -> None:
    lineage: Lineage[str] = Lineage()
    adopted, closed, kept = (lineage.fork() for _ in range(3))

    lineage.adopt(adopted)
    closed.close()

    assert [one.is_fork_of(lineage) for one in (adopted, closed, kept)] == [False, False, True]
    assert not lineage.is_fork_of(kept)
    assert not kept.fork().is_fork_of(lineage)
