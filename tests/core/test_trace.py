from collab.decisions import Mark
from collab.trace import Committed, RolledBack, Span, Trace, mentor_share


def span(trace: Trace, text: str, author: str = "generator", **more: object) -> Span:
    tokens = len(text.split())
    return Span(trace.next_index, author, text, tokens, "draft", **more)  # type: ignore[arg-type]


def test_the_text_is_what_stands() -> None:
    trace = Trace()

    for text in ("a", " b", " c"):
        trace.commit(span(trace, text))

    assert (trace.text, trace.tokens, trace.mark) == ("a b c", 3, Mark(3))


def test_rolling_back_takes_spans_out_but_keeps_the_record() -> None:
    trace = Trace()
    trace.commit(span(trace, "a"))
    mark = trace.mark
    trace.commit(span(trace, " wrong"))

    trace.rollback(mark)
    trace.commit(span(trace, " right"))

    assert trace.text == "a right"
    assert [type(event) for event in trace.events] == [Committed, Committed, RolledBack, Committed]
    assert trace.events[2] == RolledBack(mark, (1,))
    assert trace.spans[1].index == 2


def test_text_hidden_from_somebody_is_not_part_of_the_answer() -> None:
    trace = Trace()
    trace.commit(span(trace, "a"))
    trace.commit(span(trace, " hint", visible_to=frozenset({"mentor"})))

    assert trace.text == "a"
    assert trace.spans[1].is_visible_to("mentor")
    assert not trace.spans[1].is_visible_to("generator")


def test_the_mentor_share_counts_every_mentor_and_no_injection() -> None:
    trace = Trace()
    trace.commit(span(trace, "one two three"))
    trace.commit(span(trace, "four", author="big-mentor"))
    trace.commit(Span(2, "policy:x", "ignored", 5, "injection"))

    assert mentor_share(trace.spans) == 1 / 4


def test_an_empty_answer_has_no_mentor_share() -> None:
    assert mentor_share([]) == 0.0
