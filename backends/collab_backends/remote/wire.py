"""Reading answers: text, tokens with their signals, why it ended, and what was paid for."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio

from collab.texts import is_unicode
from collab_backends.remote.contents import checked_end, texts_of
from collab_backends.remote.entries import Entry, read_entries
from collab_backends.remote.failures import fault_of_body, quoted
from collab_backends.remote.faults import AttemptFailed, Fault
from collab_backends.remote.paid import NOT_SAID, Paid, parse_paid, parse_timings

_LOOKED_AT, _LOOKS = 64, 18
"""So many parts of a stream are looked at one by one, and each further eighteenth of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        text: What was written; stop strings may be cut off.
        entries: Its tokens, as far as the server reports them.
        ids: The ids it says it wrote, or nothing.
        finish: Why it ended, as the server says.
        paid: What it cost.
        id: What the server calls it, if it says.
        model: The model that wrote it, as the server says.
        reasoning: What was thought beside the text, where the server tells that apart.
        is_left: Whether no more of it was read, though more may have been decoded.
        unread: Parts of it that had come by then.
    """

    text: str
    entries: tuple[Entry, ...] = ()
    ids: tuple[int, ...] = ()
    finish: str = ""
    paid: Paid = NOT_SAID
    id: str = ""
    model: str = ""
    reasoning: str = ""
    is_left: bool = False
    unread: int = 0


def parse_answer(
    body: object, *, is_chat: bool, hear: Callable[[Answer], None] = lambda _: None
) -> Answer:
    """Return the answer that a whole response holds; `hear` gets it also if it is no proper one.

    Raises:
        AttemptFailed: It holds none: an error with status 200, HTML, no choices, or no reason why
            it ended.
    """
    choice = _choice(body)
    assert isinstance(body, Mapping), "checked with the choice"
    paid = parse_paid(body.get("usage"))
    hear(Answer("", paid=paid))
    answer = replace(
        _parse_choice(choice, is_chat=is_chat),
        paid=paid,
        id=_said(body, "id"),
        model=_said(body, "model"),
    )
    hear(answer)
    if not answer.finish:
        raise AttemptFailed(Fault("the answer does not say why it ended", is_retried=True))
    return replace(answer, finish=checked_end(answer.finish))


async def read_stream(
    events: AsyncIterator[object],
    *,
    is_chat: bool,
    is_enough: Callable[[Answer], bool],
    hear: Callable[[Answer], None] = lambda _: None,
) -> Answer:
    """Return what a stream has told when `is_enough` says so, or at its proper end.

    `hear` gets what was heard of it also if it has no proper end: it was paid for.

    Raises:
        AttemptFailed: The stream ended without saying why, or held an error.
    """
    heard = Answer("")
    events_seen = next_look = 0
    try:
        async for event in events:
            if (part := _part(event, is_chat=is_chat)) is None:
                heard = replace(heard, paid=_paid_so_far(event, heard.paid))
                continue
            heard = _joined(heard, part, event)
            events_seen += 1
            # A look reads all there is, so that looking at every event of a long text is dear.
            if heard.finish or events_seen < next_look:
                continue
            next_look = events_seen + (1 if events_seen < _LOOKED_AT else events_seen // _LOOKS)
            if is_enough(heard):
                return await _left(events, heard)
    finally:
        if heard.paid is not NOT_SAID or events_seen:
            hear(heard)
    if not heard.finish:
        raise AttemptFailed(
            Fault("the stream ended in the middle, without a reason", is_retried=True)
        )
    return replace(heard, finish=checked_end(heard.finish))


def _part(event: object, *, is_chat: bool) -> Answer | None:
    """Return what an event adds to the first choice; `None` if it is about something else.

    Raises:
        AttemptFailed: It is an error, or none that can be read.
    """
    if not isinstance(event, Mapping):
        raise AttemptFailed(Fault(f"the stream holds {quoted(event)}", is_retried=True))
    choices = event.get("choices")
    if not choices:
        if "error" in event:
            raise AttemptFailed(fault_of_body(event))
        return None
    if choices[0].get("index"):  # of another answer than the one that was asked for
        return None
    return _parse_choice(choices[0], is_chat=is_chat)


async def _left(events: AsyncIterator[object], heard: Answer) -> Answer:
    """Return an answer of which no more is wanted, with what its further parts have cost.

    Those that have come already were decoded; they are read without waiting for more.
    """
    paid, unread = heard.paid, 0
    with anyio.move_on_after(0):
        async for event in events:
            unread += 1
            paid = _paid_so_far(event, paid)
    return replace(heard, paid=paid, is_left=True, unread=unread)


def _joined(heard: Answer, part: Answer, event: object) -> Answer:
    assert isinstance(event, Mapping), "it has a part"
    return replace(
        heard,
        paid=_paid_so_far(event, heard.paid),
        text=heard.text + part.text,
        reasoning=heard.reasoning + part.reasoning,
        entries=(*heard.entries, *part.entries),
        ids=(*heard.ids, *part.ids),
        finish=part.finish or heard.finish,
        id=heard.id or _said(event, "id"),
        model=heard.model or _said(event, "model"),
    )


def _paid_so_far(event: object, before: Paid) -> Paid:
    if not isinstance(event, Mapping):
        return before
    if event.get("usage"):
        return parse_paid(event["usage"])
    timings = event.get("timings")
    return parse_timings(timings) if isinstance(timings, Mapping) else before


def _said(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "")


def _choice(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        what = f"this is not an OpenAI-compatible server; it answers: {quoted(body)}"
        raise AttemptFailed(Fault(what, is_retried=True, is_outage=True))
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    if "error" in body:
        raise AttemptFailed(fault_of_body(body))
    raise AttemptFailed(Fault(f"the answer has no choices: {quoted(body)}", is_retried=True))


def _parse_choice(choice: Mapping[str, Any], *, is_chat: bool) -> Answer:
    told = choice.get("message") or choice.get("delta") if is_chat else choice
    message = told if isinstance(told, Mapping) else {}
    text, thought = texts_of(message.get("content" if is_chat else "text"))
    if not is_unicode(text):
        raise AttemptFailed(Fault("the answer's text is broken: half a character", is_retried=True))
    beside = message.get("reasoning_content") or message.get("reasoning")
    return Answer(
        text=text,
        entries=tuple(read_entries(choice.get("logprobs"))),
        ids=_ids(choice.get("token_ids")),
        finish=str(choice.get("finish_reason") or ""),
        reasoning=thought + (beside if isinstance(beside, str) else ""),
    )


def _ids(told: object) -> tuple[int, ...]:
    is_whole = isinstance(told, list) and all(type(one) is int for one in told)
    return tuple(told) if is_whole and isinstance(told, list) else ()
