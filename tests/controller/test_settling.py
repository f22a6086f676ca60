"""What of a text has settled while it grows, is cut and is taken back."""

from hypothesis import given
from hypothesis import strategies as st

from collab.controller.settling import Settled, Settling
from collab.decisions import Mark
from collab.trace import Span, Trace


def commit(trace: Trace, text: str, author: str = "generator", *, hidden: bool = False) -> None:
    visible = frozenset({"mentor"}) if hidden else None
    trace.commit(Span(trace.next_index, author, text, 1, "draft", visible))


def test_text_settles_by_author() -> None:
    trace = Trace()
    settling = Settling(trace, (), takes_back=False)
    commit(trace, "ab")
    commit(trace, "cd")
    commit(trace, "ef", "mentor")

    assert settling.advance() == [Settled("abcd", "generator"), Settled("ef", "mentor")]
    assert settling.advance() == []


def test_hidden_text_never_settles() -> None:
    trace = Trace()
    settling = Settling(trace, (), takes_back=False)
    commit(trace, "ab")
    commit(trace, "note", "policy", hidden=True)
    commit(trace, "cd", "mentor")

    assert settling.advance() == [Settled("ab", "generator"), Settled("cd", "mentor")]


def test_what_may_begin_a_stop_string_is_held_back_until_it_does_not() -> None:
    trace = Trace()
    settling = Settling(trace, ("stop",), takes_back=False)
    commit(trace, "a st")

    assert settling.advance() == [Settled("a ", "generator")]
    commit(trace, "ay")
    assert settling.advance() == [Settled("stay", "generator")]


def test_a_stop_string_that_was_cut_off_is_never_shown() -> None:
    trace = Trace()
    settling = Settling(trace, ("stop",), takes_back=False)
    commit(trace, "a st")
    settling.advance()
    trace.rollback(Mark(0))
    commit(trace, "a ")

    assert settling.advance(is_over=True) == []


def test_nothing_settles_before_the_end_where_text_may_be_taken_back() -> None:
    trace = Trace()
    settling = Settling(trace, (), takes_back=True)
    commit(trace, "ab")
    before = settling.advance()
    trace.rollback(Mark(0))
    commit(trace, "xy", "mentor")

    assert (before, settling.advance(is_over=True)) == ([], [Settled("xy", "mentor")])


@given(
    st.lists(st.tuples(st.sampled_from(["generator", "mentor"]), st.text("ab s", max_size=6))),
    st.sampled_from([(), ("as",), ("ab", "b s"), ("a a a",)]),
)
def test_the_pieces_are_the_text(pieces: list[tuple[str, str]], stops: tuple[str, ...]) -> None:
    trace = Trace()
    settling = Settling(trace, stops, takes_back=False)
    seen: list[Settled] = []
    for author, text in pieces:
        commit(trace, text, author)
        seen += settling.advance()
    seen += settling.advance(is_over=True)

    assert "".join(one.text for one in seen) == trace.text
    for author in ("generator", "mentor"):
        written = "".join(text for who, text in pieces if who == author)
        assert "".join(one.text for one in seen if one.author == author) == written
