"""Text and tokens of one model: rendering views, splicing text, decoding as it grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast

from collab.errors import ModelLoadError
from collab.views import View

_TAIL_TOKENS = 8
"""How many tokens in front of a splice may merge with it. Longer merges are left apart."""

_ANCHOR = "a"


@dataclass(frozen=True, slots=True)
class Splice:
    """Text put behind ids: keep `kept` of them, then go on with `added`."""

    kept: int
    added: list[int]


class TextCodec:
    """A tokenizer as sessions need it."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelLoadError(
                f"the tokenizer of {name!r} has no fast version; convert it to tokenizer.json"
            )
        self._tokenizer = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer

    def render(self, view: View) -> list[int]:
        """Return the prompt's ids as the view's options ask for."""
        options = view.options
        has_template = bool(self._tokenizer.chat_template)
        if options.template == "raw" or (options.template == "auto" and not has_template):
            return self._encode(view.prompt, with_special_tokens=True)
        if not has_template:
            raise ModelLoadError("the tokenizer has no chat template; set template to raw")
        messages = [{"role": "user", "content": view.prompt}]
        if options.system:
            messages.insert(0, {"role": "system", "content": options.system})
        extra: dict[str, Any] = {}
        if options.is_thinking_enabled is not None:
            extra["enable_thinking"] = options.is_thinking_enabled
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **extra
        )
        return self._ids(self._tokenizer(text, add_special_tokens=False))

    def splice(self, ids: Sequence[int], text: str) -> Splice:
        """Return how to put `text` behind `ids`.

        Only the last few tokens are written again, and only where the tokenizer would have
        joined them with the new text; the rest of the history is never rebuilt from text.
        Special tokens are never made from plain text.
        """
        tail = list(ids[-_TAIL_TOKENS:])
        before = self.decode(tail)
        if tail and self._encode(before) == tail:
            joined = self._encode(before + text)
            common = _common_prefix(tail, joined)
            # The very first token stays: whatever follows is predicted from something.
            if common or len(ids) > len(tail):
                return Splice(len(ids) - len(tail) + common, joined[common:])
        # The tail does not survive a round trip (special tokens, half a character): leave it
        # as it is. The anchor keeps tokenizers from putting a space in front of the text.
        anchor = self._encode(_ANCHOR)
        joined = self._encode(_ANCHOR + text)
        if joined[: len(anchor)] == anchor:
            return Splice(len(ids), joined[len(anchor) :])
        return Splice(len(ids), self._encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens included."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def decoder(self, before: Sequence[int]) -> "TextDecoder":
        """Return a decoder of the tokens behind `before`."""
        return TextDecoder(self._backend, list(before[-_TAIL_TOKENS:]))

    def _encode(self, text: str, *, with_special_tokens: bool = False) -> list[int]:
        return self._ids(
            self._tokenizer(text, add_special_tokens=with_special_tokens, split_special_tokens=True)
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
