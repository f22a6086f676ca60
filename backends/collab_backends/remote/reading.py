"""The tokens of an answer: what it adds to a live text, whatever else the server gives back."""

from collections.abc import Sequence

from collab.proposals import Token
from collab.signals import Signals
from collab_backends.remote.asking import Terms
from collab_backends.remote.pieces import (
    HALF_CHARACTER,
    by_entries,
    by_ids,
    by_words,
    told_ids,
    without_blanks,
    without_half_character,
    without_prefill,
)
from collab_backends.remote.texts import IdText, LiveText, cleaned
from collab_backends.remote.wire import Answer


def tokens_of(
    answer: Answer, terms: Terms, text: LiveText, tail: Sequence[Token], *, signals: Signals
) -> list[Token]:
    """Return the tokens that an answer writes behind a text.

    Args:
        answer: May still be coming.
        terms: How it was asked for.
        text: What is committed.
        tail: What was written behind that before.
        signals: What to measure beside them.
    """
    codec = terms.codec
    if codec is not None and isinstance(text, IdText):
        before = [*text.live.ids, *(token.id for token in tail)]
        tokens = by_ids(codec, before, told_ids(answer), answer, signals)
        if len(answer.text.rstrip(HALF_CHARACTER)) > sum(len(one.text) for one in tokens):
            # Not all ids were told. What is there already stays as it was cut.
            ids = codec.splice((), answer.text).added
            tokens = by_ids(codec, before, ids, answer, signals)
        return tokens
    so_far = text.begun + text.answer + "".join(token.text for token in tail)
    mode = terms.capabilities.prefix_mode
    if mode == "quoted":
        return by_words(cleaned(answer.text, so_far))
    shown = so_far.rstrip() if terms.trims_end else so_far
    if mode == "prefill":
        if not answer.finish and len(answer.text) < len(shown) and shown.startswith(answer.text):
            return []  # it is still giving the begun message back
        answer = without_prefill(answer, shown)
    answer = without_blanks(answer, so_far[len(shown) :])
    return by_entries(without_half_character(answer), signals)
