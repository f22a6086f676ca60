"""An answer as tokens: with their ids, as the server names them, or in words."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from collab.proposals import Token
from collab.signals import Signals
from collab_backends.remote.entries import NO_ID, Entry, measured
from collab_backends.remote.wire import Answer

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec

_WORDS = re.compile(r"\s*\S+|\s+")
HALF_CHARACTER = "\ufffd"


def by_ids(
    codec: "TextCodec",
    before: Sequence[int],
    ids: Sequence[int],
    answer: Answer,
    signals: Signals,
) -> list[Token]:
    """Return the tokens whose texts make up the answer's text; ids of an end are left out."""
    decoder = codec.decoder(before)
    matched = len(ids) == len(answer.entries)
    tokens: list[Token] = []
    length = 0
    for place, token_id in enumerate(ids):
        piece = decoder.feed(token_id)
        if not answer.text.startswith(piece, length):
            break
        length += len(piece)
        entry = answer.entries[place] if matched else Entry(token_id, piece, None)
        tokens.append(measured(entry, token_id, piece, signals, codec))
    return tokens


def told_ids(answer: Answer) -> tuple[int, ...]:
    """Return the ids of an answer, or nothing where the server does not tell them all."""
    ids = answer.ids or tuple(entry.id for entry in answer.entries)
    return () if NO_ID in ids else ids


def by_entries(answer: Answer, signals: Signals) -> list[Token]:
    """Return the tokens that the server reports, or words where they do not make up the text."""
    tokens: list[Token] = []
    length = 0
    for entry in answer.entries:
        if not answer.text.startswith(entry.text, length):
            break
        length += len(entry.text)
        # A part of a character has no text; it counts with the one that completes it.
        if entry.text:
            tokens.append(measured(entry, entry.id, entry.text, signals))
    return tokens if length == len(answer.text) else by_words(answer.text)


def by_words(text: str) -> list[Token]:
    """Return words in the place of tokens."""
    return [Token(NO_ID, piece) for piece in _WORDS.findall(text)]


def without_prefill(answer: Answer, shown: str) -> Answer:
    """Return an answer without the begun message, which some servers give back with it."""
    has_tokens = "".join(entry.text for entry in answer.entries).startswith(shown)
    if not answer.text.startswith(shown):
        return answer
    if has_tokens:
        return without_start(answer, len(shown))
    return replace(answer, text=answer.text.removeprefix(shown), ids=())


def without_blanks(answer: Answer, blanks: str) -> Answer:
    """Return an answer without the blanks that the text ended with, but that were not shown."""
    for size in range(len(blanks), 0, -1):
        if answer.text.startswith(blanks[-size:]):
            return without_start(answer, size)
    return answer


def without_half_character(answer: Answer) -> Answer:
    """Return an answer that was cut off by its length without half a character at its end."""
    if answer.finish != "length":
        return answer
    return replace(answer, text=answer.text.rstrip(HALF_CHARACTER))


def without_start(answer: Answer, count: int) -> Answer:
    """Return an answer without its first `count` characters."""
    entries: list[Entry] = []
    left = count
    for entry in answer.entries:
        if left < len(entry.text) or not left:
            entries.append(replace(entry, text=entry.text[left:]))
        left = max(left - len(entry.text), 0)
    return replace(answer, text=answer.text[count:], entries=tuple(entries), ids=())
