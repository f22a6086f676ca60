"""The lab's byte-level BPE tokenizers: `a`, and `b`, which splits the same text differently."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TokenizerName = Literal["a", "b"]

PAD = "<pad>"
EOS = "<eos>"
MAX_TOKENS = 1024
# A question ends in a blank line, whether or not its writer put one there.
CHAT_TEMPLATE = "{{ messages[-1]['content'] | trim ~ '\\n\\n' }}"


@dataclass(frozen=True, slots=True)
class Variant:
    """How one tokenizer cuts text before merging, and how many tokens it may have."""

    pattern: str
    vocabulary: int


VARIANTS: dict[TokenizerName, Variant] = {
    # A blank line is one token, digits are single, every word carries its leading space.
    "a": Variant(r"\n\n| ?\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\s", 512),
    # A blank line is two tokens, digits come in pairs, the space before a digit stands alone.
    "b": Variant(r"\d{1,2}| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\s", 512),
}


def train_tokenizer(name: TokenizerName, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on the texts: all bytes, `<pad>` and `<eos>`, no start token."""
    variant = VARIANTS[name]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(variant.pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=variant.vocabulary,
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=CHAT_TEMPLATE,
        pad_token=PAD,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_TOKENS,
        padding_side="left",
    )
