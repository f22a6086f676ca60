"""Text and tokens of one model: rendering views, splicing text, decoding as it grows."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast

from collab.errors import InvalidPromptError, ModelLoadError
from collab.signals import Gate
from collab.views import View
from collab_backends.tokenizing.chats import (
    apply_template,
    ensure_shown,
    hide_specials,
    placeholder,
)

_TAIL_TOKENS = 8
"""How many tokens in front of a splice may merge with it. Longer merges are left apart."""

_ANCHORS = ("a", ".", "\n", "0")


@dataclass(frozen=True, slots=True)
class Splice:
    """Text put behind ids: keep `kept` of them, then go on with `added`."""

    kept: int
    added: list[int]


class TextCodec:
    """A tokenizer as sessions need it.

    Attributes:
        name: Of the model or folder that it is from.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelLoadError(
                f"the tokenizer of {name!r} has no fast version; convert it to tokenizer.json"
            )
        self.name = name
        self._tokenizer = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._texts: list[str] | None = None
        self._gated: dict[Gate, frozenset[int]] = {}
        self._pieces: dict[int, str] = {}
        self._specials = tuple(
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special
        )

    def render(self, view: View) -> list[int]:
        """Return the prompt's ids as the view's options ask for.

        A begun answer is put after what the template writes to begin one, exactly as given.

        Raises:
            InvalidPromptError: The chat template refuses the messages, or there is none and they
                are no single text.
            ModelLoadError: There is no chat template, and the options ask for it.
        """
        has_template = bool(self._tokenizer.chat_template)
        if view.options.template == "raw" or (view.options.template == "auto" and not has_template):
            return self._encode(view.raw_text, with_special_tokens=True)
        if not has_template:
            raise ModelLoadError("the tokenizer has no chat template; set template to raw")
        hidden = hide_specials(view, self._specials)
        frame = apply_template(self._tokenizer, self.name, hidden.messages, view.options)
        ensure_shown(frame, hidden.messages, view, self.name)
        ids = self._encode_frame(frame, hidden.texts)
        if not view.begun:
            return ids
        splice = self.splice(ids, view.begun)
        return [*ids[: splice.kept], *splice.added]

    def _encode_frame(self, frame: str, texts: Sequence[str]) -> list[int]:
        """Return the ids of a rendered chat, with hidden texts put in as plain text."""
        ids: list[int] = []
        for number, text in enumerate(texts):
            before, found, frame = frame.partition(placeholder(number))
            if not found:
                raise InvalidPromptError(
                    "the prompt contains special tokens of the model, and its chat template does "
                    "not show the prompt as it is; take them out of the prompt"
                )
            ids += self.encode_rendered(before)
            splice = self.splice(ids, text)
            ids = [*ids[: splice.kept], *splice.added]
        return [*ids, *self.encode_rendered(frame)]

    def splice(self, ids: Sequence[int], text: str) -> Splice:
        """Return how to put `text` behind `ids`.

        Only the last few tokens are written again, and only where the tokenizer would have
        joined them with the new text; the rest of the history is never rebuilt from text.
        Special tokens are never made from plain text.
        """
        candidates = self._splices(ids, text)
        first = next(candidates)
        if self._says(ids, first, text):
            return first
        # Where no way says the text exactly (the tokenizer normalises it), the first one has to do.
        return next((one for one in candidates if self._says(ids, one, text)), first)

    def label_id(self, before: Sequence[int], label: str) -> int | None:
        """Return the id of a label's first token behind `before`, if it has one.

        Where label and text would merge into one token, the label is read by itself.
        """
        splice = self.splice(before, label)
        if splice.added and splice.kept < len(before):
            splice = self.splice((), label)
        return splice.added[0] if splice.added else None

    def _splices(self, ids: Sequence[int], text: str) -> Iterator[Splice]:
        """Yield ways to put `text` behind `ids`, the best first."""
        for start in range(max(len(ids) - _TAIL_TOKENS, 0), len(ids)):
            tail = list(ids[start:])
            before = self.decode(tail)
            # A tail that does not survive a round trip (it begins or ends within a word or a
            # character, or holds special tokens) cannot be written again.
            if self._encode(before) != tail:
                continue
            joined = self._encode(before + text)
            common = _common_prefix(tail, joined)
            # The very first token stays: whatever follows is predicted from something.
            if common or start:
                yield Splice(start + common, joined[common:])
        # The anchors keep tokenizers from putting a space in front of the text.
        for anchor in _ANCHORS:
            head, joined = self._encode(anchor), self._encode(anchor + text)
            if joined[: len(head)] == head:
                yield Splice(len(ids), joined[len(head) :])
        yield Splice(len(ids), self._encode(text))

    def _says(self, ids: Sequence[int], splice: Splice, text: str) -> bool:
        """Whether a splice adds exactly `text` behind what the ids say."""
        start = max(len(ids) - 2 * _TAIL_TOKENS, 0)
        now = self.decode([*ids[start : splice.kept], *splice.added])
        return now == self.decode(ids[start:]) + text

    def ids_of(self, gate: Gate) -> frozenset[int]:
        """Return the ids of all tokens that a gate selects."""
        if gate in self._gated:
            return self._gated[gate]
        if self._texts is None:
            count = self._backend.get_vocab_size(with_added_tokens=True)
            self._texts = self._backend.decode_batch(
                [[number] for number in range(count)], skip_special_tokens=False
            )
        self._gated[gate] = frozenset(
            number for number, token in enumerate(self._texts) if gate.selects(token)
        )
        return self._gated[gate]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens included."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def piece(self, token_id: int) -> str:
        """Return the text of a token by itself, a blank at its start included."""
        if (known := self._pieces.get(token_id)) is None:
            # Some tokenizers take the blank off the first token of a text, so it must not be first.
            anchor = _ANCHORS[0]
            whole = self.decode([*self._encode(anchor), token_id])
            alone = whole.removeprefix(anchor) if whole.startswith(anchor) else ""
            known = self._pieces[token_id] = alone or self.decode([token_id])
        return known

    def decoder(self, before: Sequence[int]) -> "TextDecoder":
        """Return a decoder of the tokens behind `before`."""
        return TextDecoder(self._backend, list(before[-_TAIL_TOKENS:]))

    def encode_rendered(self, text: str) -> list[int]:
        """Return the ids of a text that a template has rendered: special tokens are theirs."""
        return self._ids(self._tokenizer(text, add_special_tokens=False, verbose=False))

    @property
    def fingerprint(self) -> str:
        """Of the vocabulary: the same for the same tokens with the same ids."""
        vocabulary = sorted(self._backend.get_vocab(with_added_tokens=True).items())
        return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()[:12]

    def count_leading_bos(self, ids: Sequence[int]) -> int | None:
        """Return how many beginning-of-text tokens `ids` begin with; `None` if there is none."""
        bos = self._tokenizer.bos_token_id
        if bos is None:
            return None
        return next((n for n, one in enumerate(ids) if one != bos), len(ids))

    def _encode(self, text: str, *, with_special_tokens: bool = False) -> list[int]:
        return self._ids(
            self._tokenizer(
                text,
                add_special_tokens=with_special_tokens,
                split_special_tokens=True,
                verbose=False,
            )
        )

    @staticmethod
    def _ids(encoding: object) -> list[int]:
        ids: list[int] = list(encoding["input_ids"])  # type: ignore[index]  # BatchEncoding
        return ids


class TextDecoder:
    """Gives the text of each token as it comes; a half character waits for its other half."""

    def __init__(self, backend: Tokenizer, before: list[int]) -> None:
        self._backend = backend
        self._stream = DecodeStream(ids=before, skip_special_tokens=False)

    def feed(self, token_id: int) -> str:
        """Return the text that is complete with this token, which may be empty."""
        return self._stream.step(self._backend, token_id) or ""


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
