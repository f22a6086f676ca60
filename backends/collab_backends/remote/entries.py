"""Tokens as servers report them, with the likeliest candidates at each place.

Answers hold many more candidates than are ever looked at, so these are read on demand.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from collab.proposals import Candidate, Token
from collab.signals import Signals

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec

NO_ID = -1
_LOGPROB = itemgetter("logprob")
_LIKELIHOOD = attrgetter("logprob")


@dataclass(frozen=True, slots=True)
class Entry:
    """One token as a server reports it.

    Attributes:
        id: Its id, or -1.
        text: Its text; may be unreadable where it is part of a character.
        logprob: Its log-probability in nats, if given.
        reported: The likeliest tokens there as the server reports them: a list of objects, or a
            mapping from token to log-probability.
    """

    id: int
    text: str
    logprob: float | None
    reported: object = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The likeliest tokens."""
        return tuple(
            Candidate(_id_of(one.get("token"), one.get("id")), str(one.get("token")), value)
            for one, value in _valued(self.reported)
        )

    @property
    def likeliest(self) -> Candidate:
        """The likeliest token there: this one, unless the server reports a likelier one.

        This one also where it has no log-probability, as what is asked for is written greedily.
        """
        written = Candidate(self.id, self.text, 0.0 if self.logprob is None else self.logprob)
        return max((written, *self.candidates), key=_LIKELIHOOD)

    @property
    def logprobs(self) -> list[float]:
        """The log-probabilities of the likeliest tokens, the largest first."""
        values = _usual_logprobs(self.reported)
        if values is None:
            values = [value for _, value in _valued(self.reported)]
        return sorted(values, reverse=True)


def read_entries(logprobs: object) -> list[Entry]:
    """Return the tokens of either shape: lists side by side, or a list of objects."""
    if not isinstance(logprobs, Mapping):
        return []
    if isinstance(content := logprobs.get("content"), list):
        return [_entry(one) for one in content if isinstance(one, Mapping)]
    tokens = logprobs.get("tokens") or []
    values = logprobs.get("token_logprobs") or []
    tops = logprobs.get("top_logprobs") or []
    return [
        Entry(_id_of(token), str(token), _number(value), top)
        for token, value, top in zip_longest(tokens, values, tops)
        if token is not None
    ]


def measured(
    entry: Entry, token_id: int, text: str, signals: Signals, codec: "TextCodec | None" = None
) -> Token:
    """Return a token with the signals that are asked for and that its entry allows.

    Args:
        entry: The token as the server reports it.
        token_id: Its id.
        text: Its text.
        signals: What is asked for.
        codec: Gives candidates their texts where the server names them by id.
    """
    logprobs = entry.logprobs
    top_k = signals.entropy_top_k
    return Token(
        id=token_id,
        text=text,
        logprob=None if entry.logprob is None else min(entry.logprob, 0.0),
        entropy_nats=entropy(logprobs, top_k) if top_k else None,
        margin=logprobs[0] - logprobs[1] if len(logprobs) > 1 else None,
        top=_top(entry, signals.top_k, codec) if signals.top_k else (),
    )


def text_of(candidate: Candidate, codec: "TextCodec | None") -> str:
    """Return a candidate's text; servers that name tokens by id give none."""
    if codec is None or candidate.id == NO_ID:
        return candidate.text
    return codec.piece(candidate.id)


def _top(entry: Entry, top_k: int, codec: "TextCodec | None") -> tuple[Candidate, ...]:
    # Servers name the token itself too, where it is not one of the likeliest.
    likeliest = sorted(entry.candidates, key=_LIKELIHOOD, reverse=True)[:top_k]
    return tuple(replace(one, text=text_of(one, codec)) for one in likeliest)


def entropy(logprobs: Sequence[float], top_k: int) -> float | None:
    """Return the entropy in nats over the `top_k` likeliest, renormalised; `None` if too few.

    Args:
        logprobs: The largest first.
        top_k: How many of them count.
    """
    likeliest = logprobs[:top_k]
    if len(likeliest) < 2:
        return None
    weights = [math.exp(one - likeliest[0]) for one in likeliest]
    total = sum(weights)
    return max(-sum(w / total * math.log(w / total) for w in weights if w > 0), 0.0)


def _entry(one: Mapping[str, Any]) -> Entry:
    token = one.get("token")
    value = _number(one.get("logprob"))
    return Entry(_id_of(token, one.get("id")), str(token), value, one.get("top_logprobs"))


def _usual_logprobs(reported: Any) -> list[float] | None:
    """Return the log-probabilities where all are told as usual, which is quicker to see."""
    try:
        values = list(reported.values() if isinstance(reported, dict) else map(_LOGPROB, reported))
        is_usual = math.fsum(values) <= 0 and max(values, default=0.0) <= 0
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return values if is_usual else None


def _valued(reported: object) -> Iterator[tuple[Mapping[str, Any], float]]:
    if isinstance(reported, Mapping):
        reported = [{"token": token, "logprob": value} for token, value in reported.items()]
    if not isinstance(reported, list):
        return
    for one in reported:
        if isinstance(one, Mapping) and (value := _number(one.get("logprob"))) is not None:
            yield one, value


def _number(value: object) -> float | None:
    """Return a log-probability: at most 0, and a number."""
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return min(float(value), 0.0)


def _id_of(token: object, given: object = None) -> int:
    if isinstance(given, int):
        return given
    text = str(token)
    return int(text.removeprefix("token_id:")) if text.startswith("token_id:") else NO_ID
