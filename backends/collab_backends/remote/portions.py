"""How much is asked for at a time, where the beginning of a proposal may be enough.

What was decoded when a stream is left is paid for, and a quick server decodes a whole segment
before it notices. So as long as a text is the one that may be enough, a few tokens are asked for by
themselves.
"""

from collections.abc import Iterator, Sequence

from collab.proposals import Token
from collab_backends.remote.asking import Terms
from collab_backends.remote.texts import IdText, LiveText

_A_FEW = 2
_JUST_BEYOND = 8
_CHARACTERS_PER_TOKEN = 4


def portions(tail: Sequence[Token], expected: str, first: int, most: int) -> Iterator[int]:
    """Yield up to how many tokens to write, one request after another.

    Args:
        tail: What was written so far; grows from one request to the next.
        expected: The text that may be enough; empty to ask for all at once.
        first: Tokens after which that text shows to be complete, as near as is known.
        most: All that may be wanted.
    """
    while expected and first < most and _may_be(expected, tail):
        if len(tail) < first:
            yield first
        first += _A_FEW
    yield most


def tokens_in(text: str, terms: Terms, behind: LiveText) -> int:
    """Return by how many of a model's tokens a text would grow a live text, as near as is known."""
    if terms.codec is None:
        return max(len(text) // _CHARACTERS_PER_TOKEN, 1)
    ids = behind.live.ids if isinstance(behind, IdText) else ()
    splice = terms.codec.splice(ids, text)
    return max(splice.kept + len(splice.added) - len(ids), 1)


def _may_be(expected: str, tail: Sequence[Token]) -> bool:
    """Whether what was written may still become a text, or has hardly gone beyond it."""
    so_far = "".join(token.text for token in tail)
    is_just_beyond = len(so_far) <= len(expected) + _JUST_BEYOND
    return expected.startswith(so_far) or (so_far.startswith(expected) and is_just_beyond)
