"""Reading answers: text, tokens with their signals, why it ended, and what was paid for."""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from collab.proposals import Token
from collab_backends.remote.failures import AttemptFailed, Fault, fault_of_body, quoted
from collab_backends.remote.paid import NOT_SAID, Paid, parse_paid

NO_ID = -1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the likeliest tokens at a position."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One token as a server reports it.

    Attributes:
        id: Its id, or -1.
        text: Its text; may be unreadable where it is part of a character.
        logprob: Its log-probability, if given.
        top: The likeliest tokens there, if given.
    """

    id: int
    text: str
    logprob: float | None
    top: tuple[Candidate, ...] = ()


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
        finish = part.finish or finish
        answer_id, model = answer_id or _said(event, "id"), model or _said(event, "model")
        so_far = Answer(text, tuple(entries), tuple(ids), finish, paid, answer_id, model)
        if not finish and is_enough(so_far):
            return so_far
    if not finish:
        raise AttemptFailed(
            Fault("the stream ended in the middle, without a reason", is_retried=True)
        )
    return Answer(text, tuple(entries), tuple(ids), finish, paid, answer_id, model)


def entropy(candidates: Sequence[Candidate], top_k: int) -> float | None:
    """Return the entropy in nats over the `top_k` likeliest, renormalised; `None` if too few."""
    logprobs = sorted((one.logprob for one in candidates), reverse=True)[:top_k]
    if len(logprobs) < 2:
        return None
    weights = [math.exp(one - logprobs[0]) for one in logprobs]
    total = sum(weights)
    return max(-sum(w / total * math.log(w / total) for w in weights if w > 0), 0.0)


def measured(entry: Entry, token_id: int, text: str, top_k: int) -> Token:
    """Return a token with the signals that its entry allows."""
    likeliest = sorted((one.logprob for one in entry.top), reverse=True)
    return Token(
        id=token_id,
        text=text,
        logprob=None if entry.logprob is None else min(entry.logprob, 0.0),
        entropy_nats=entropy(entry.top, top_k) if top_k else None,
        margin=likeliest[0] - likeliest[1] if len(likeliest) > 1 else None,
    )


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
    message = choice.get("message") or choice.get("delta") or {} if is_chat else choice
    text = message.get("content" if is_chat else "text") or ""
    return Answer(
        text=str(text),
        entries=tuple(_entries(choice.get("logprobs"))),
        ids=tuple(int(one) for one in choice.get("token_ids") or ()),
        finish=str(choice.get("finish_reason") or ""),
    )


def _entries(logprobs: object) -> list[Entry]:
    """Return the tokens of either shape: lists side by side, or a list of objects."""
    if not isinstance(logprobs, Mapping):
        return []
    if isinstance(content := logprobs.get("content"), list):
        return [_content_entry(one) for one in content if isinstance(one, Mapping)]
    tokens = logprobs.get("tokens") or []
    values = logprobs.get("token_logprobs") or []
    tops = logprobs.get("top_logprobs") or []
    return [
        Entry(_id_of(token), str(token), value, _legacy_top(top))
        for token, value, top in zip_longest(tokens, values, tops)
        if token is not None
    ]


def _content_entry(one: Mapping[str, Any]) -> Entry:
    top = tuple(
        Candidate(_id_of(c.get("token"), c.get("id")), str(c.get("token")), float(c["logprob"]))
        for c in one.get("top_logprobs") or ()
        if c.get("logprob") is not None
    )
    token = one.get("token")
    return Entry(_id_of(token, one.get("id")), str(token), one.get("logprob"), top)


def _legacy_top(top: object) -> tuple[Candidate, ...]:
    if not isinstance(top, Mapping):
        return ()
    return tuple(
        Candidate(_id_of(token), str(token), float(value))
        for token, value in top.items()
        if value is not None
    )


def _id_of(token: object, given: object = None) -> int:
    if isinstance(given, int):
        return given
    text = str(token)
    return int(text.removeprefix("token_id:")) if text.startswith("token_id:") else NO_ID
