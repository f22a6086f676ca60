import pytest

from collab.proposals import Token, Until
from collab.seam.tail import Tail

A, B, C = Token(0, "a"), Token(1, "b"), Token(2, "c")


def test_a_replay_takes_as_many_tokens_as_are_wanted() -> None:
    builder = Tail([A, B, C]).replay(Until(2), "")

    assert builder.is_done
    assert builder.build("g", replayed=3).tokens == (A, B)


def test_a_replay_that_wants_more_goes_on() -> None:
    assert Tail([A]).replay(Until(2), "").room == 1


def test_a_replay_takes_further_tokens_after_its_own() -> None:
    tail = Tail([A])

    proposal = tail.replay(Until(2), "", [B]).build("g", replayed=1)

    assert (proposal.tokens, tail.tokens) == ((A, B), [A])


def test_a_replay_of_a_text_that_ended_is_done() -> None:
    assert Tail([A], has_ended=True).replay(Until(2), "").stop == "eos"
    assert Tail([A], has_ended=True).replay(Until(1), "").stop == "length"


def test_committed_tokens_are_taken_off_the_front() -> None:
    tail = Tail([A, B, C], has_ended=True)

    assert tail.commit(2) == [A, B]
    assert (tail.tokens, tail.ids, tail.text, tail.has_ended) == ([C], [2], "c", True)


@pytest.mark.parametrize("count", [-1, 2])
def test_a_count_that_is_not_there_is_not_committed(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} tokens to commit, 1 were decoded"):
        Tail([A]).commit(count)


def test_a_dropped_tail_has_not_ended() -> None:
    tail = Tail([A], has_ended=True)

    tail.drop()

    assert (tail.tokens, tail.has_ended) == ([], False)


def test_a_copy_goes_its_own_way() -> None:
    tail = Tail([A], has_ended=True)
    twin = tail.copy()

    tail.drop()

    assert (twin.tokens, twin.has_ended) == ([A], True)
