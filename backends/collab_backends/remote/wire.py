"""Reading answers: text, tokens with their signals, why it ended, and what was paid for."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from collab.texts import is_unicode
from collab_backends.remote.entries import Entry, read_entries
from collab_backends.remote.failures import AttemptFailed, Fault, fault_of_body, quoted
from collab_backends.remote.paid import NOT_SAID, Paid, parse_paid

_LOOKS = 16
_GIVEN_UP = frozenset({"abort", "aborted", "cancelled", "error", "timeout"})
_KEPT_BACK = frozenset({"content_filter", "safety", "recitation"})


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
    """

    text: str
    entries: tuple[Entry, ...] = ()
    ids: tuple[int, ...] = ()
    finish: str = ""
    paid: Paid = NOT_SAID
    id: str = ""
    model: str = ""


def parse_answer(body: object, *, is_chat: bool) -> Answer:
    """Return the answer that a whole response holds.

    Raises:
        AttemptFailed: It holds none: an error with status 200, HTML, no choices, or no reason why
            it ended.
    """
    choice = _choice(body)
    answer = _parse_choice(choice, is_chat=is_chat)
    if not answer.finish:
        raise AttemptFailed(Fault("the answer does not say why it ended", is_retried=True))
    _ensure_finished(answer.finish)
    assert isinstance(body, Mapping), "checked with the choice"
    return replace(
        answer, paid=parse_paid(body.get("usage")), id=_said(body, "id"), model=_said(body, "model")
    )


async def read_stream(
    events: AsyncIterator[object], *, is_chat: bool, is_enough: Callable[[Answer], bool]
) -> Answer:
    """Return what a stream has told when `is_enough` says so, or at its proper end.

    Raises:
        AttemptFailed: The stream ended without saying why, or held an error.
    """
    text, entries, ids, finish, paid = "", list[Entry](), list[int](), "", NOT_SAID
    answer_id = model = ""
    events_seen = next_look = 0
    async for event in events:
        if not isinstance(event, Mapping):
            raise AttemptFailed(Fault(f"the stream holds {quoted(event)}", is_retried=True))
        if event.get("usage"):
            paid = parse_paid(event["usage"])
        if not event.get("choices"):
            if "error" in event:
                raise AttemptFailed(fault_of_body(event))
            continue
        part = _parse_choice(event["choices"][0], is_chat=is_chat)
        text += part.text
        entries += part.entries
        ids += part.ids
        events_seen += 1
        finish = part.finish or finish
        answer_id, model = answer_id or _said(event, "id"), model or _said(event, "model")
        # A look reads all there is, so that looking at every event of a long text would be dear.
        if finish or events_seen < next_look:
            continue
        next_look = events_seen + max(events_seen // _LOOKS, 1)
        so_far = Answer(text, tuple(entries), tuple(ids), finish, paid, answer_id, model)
        if is_enough(so_far):
            return so_far
    if not finish:
        raise AttemptFailed(
            Fault("the stream ended in the middle, without a reason", is_retried=True)
        )
    _ensure_finished(finish)
    return Answer(text, tuple(entries), tuple(ids), finish, paid, answer_id, model)


def _ensure_finished(finish: str) -> None:
    """Check that an answer came to an end of its own.

    Raises:
        AttemptFailed: The server gave up, or kept back what was written.
    """
    if finish in _GIVEN_UP:
        raise AttemptFailed(Fault(f"the server gave up: {finish!r}", is_retried=True))
    if finish in _KEPT_BACK:
        raise AttemptFailed(Fault(f"the server kept its answer back: {finish!r}"))


def _said(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "")


def _choice(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        what = f"this is no OpenAI-compatible server; it answers: {quoted(body)}"
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
    text = str(message.get("content" if is_chat else "text") or "")
    if not is_unicode(text):
        raise AttemptFailed(Fault("the answer's text is broken: half a character", is_retried=True))
    return Answer(
        text=text,
        entries=tuple(read_entries(choice.get("logprobs"))),
        ids=_ids(choice.get("token_ids")),
        finish=str(choice.get("finish_reason") or ""),
    )


def _ids(told: object) -> tuple[int, ...]:
    is_whole = isinstance(told, list) and all(type(one) is int for one in told)
    return tuple(told) if is_whole and isinstance(told, list) else ()
