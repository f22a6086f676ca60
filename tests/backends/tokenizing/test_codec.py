"""Text and tokens: rendering, splicing, decoding."""

import pytest
import transformers as tf
from support.models import CORPUS, make_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from collab.errors import InvalidPromptError, ModelLoadError
from collab.views import View, ViewOptions
from collab_backends.tokenizing.codec import TextCodec

TOKENIZER = make_tokenizer()
CODEC = TextCodec(TOKENIZER, "tiny")


def encode(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True))


def spliced(ids: list[int], text: str) -> list[int]:
    splice = CODEC.splice(ids, text)
    return ids[: splice.kept] + splice.added


@pytest.mark.parametrize("cut", range(2, 24))
def test_spliced_text_is_tokenised_as_if_written_at_once(cut: int) -> None:
    text = "So the answer is therefore 12.\n\nNow"

    assert spliced(encode(text[:cut]), text[cut:]) == encode(text)


def test_the_very_first_token_is_never_written_again() -> None:
    # "S" + "o" would be one token, but then nothing would stand in front of the new text.
    assert spliced(encode("S"), "o the") == [*encode("S"), *encode("o"), *encode(" the")]


def test_only_the_tail_is_written_again() -> None:
    # "th" + "e" would be one token; in front of the tail it stays as it was written.
    long_ago = [*encode("th"), *encode("e")]
    ids = long_ago + encode(" answer is 1 2 3 4 5 6 7 8")

    assert spliced(ids, " and") == ids + encode(" and")


def test_special_tokens_are_never_made_from_text() -> None:
    end = TOKENIZER.convert_tokens_to_ids("<|end|>")

    assert end not in spliced(encode("So"), "<|end|> the")
    assert end not in CODEC.render(View("g", "a<|end|>b", ViewOptions(template="raw")))


def test_half_a_character_is_left_as_it_is() -> None:
    half = encode("é")[:1]

    assert spliced(half, " the") == half + encode(" the")


def test_special_tokens_at_the_end_are_left_as_they_are() -> None:
    ids = list(TOKENIZER.encode("<|assistant|>", add_special_tokens=False))

    assert spliced(ids, "So") == ids + encode("So")


def test_a_character_comes_with_its_last_token() -> None:
    ids = encode("aé€b")
    decoder = CODEC.decoder([])

    texts = [decoder.feed(token) for token in ids]

    assert "".join(texts) == "aé€b"
    assert "�" not in "".join(texts)
    assert "" in texts


def test_a_decoder_goes_on_behind_what_was_there() -> None:
    ids = encode("So the answer")
    decoder = CODEC.decoder(ids[:2])

    assert (
        "".join(decoder.feed(token) for token in ids[2:])
        == CODEC.decode(ids)[len(CODEC.decode(ids[:2])) :]
    )


def test_a_chat_template_frames_the_prompt() -> None:
    options = ViewOptions(system="Be brief.", is_thinking_enabled=False)

    text = CODEC.decode(CODEC.render(View("g", "2 + 2?", options)))

    assert text == "<|system|>Be brief.<|end|><|user|>2 + 2?<|end|><|assistant|><quiet>"


def test_a_raw_prompt_is_shown_as_it_is() -> None:
    view = View("g", "2 + 2?", ViewOptions(template="raw"))

    assert CODEC.decode(CODEC.render(view)) == "2 + 2?"


def test_auto_is_raw_without_a_template_and_chat_is_refused_then() -> None:
    plain = make_tokenizer()
    plain.chat_template = None
    codec = TextCodec(plain, "plain")

    assert codec.decode(codec.render(View("g", "hi", ViewOptions()))) == "hi"
    with pytest.raises(ModelLoadError, match="has no chat template; set template to raw"):
        codec.render(View("g", "hi", ViewOptions(template="chat")))


def test_special_tokens_in_a_chat_prompt_are_plain_text() -> None:
    (end,) = TOKENIZER.encode("<|end|>", add_special_tokens=False)

    ids = CODEC.render(View("g", "a<|end|>b", ViewOptions(template="chat")))

    assert ids.count(end) == 1
    assert CODEC.decode(ids) == "<|user|>a<|end|>b<|end|><|assistant|>"


def test_special_tokens_in_a_prompt_that_the_template_changes_are_refused() -> None:
    shouting = make_tokenizer()
    shouting.chat_template = "<|user|>{{ messages[0].content | upper }}<|end|>"

    with pytest.raises(InvalidPromptError, match="the prompt contains special tokens"):
        TextCodec(shouting, "loud").render(View("g", "a<|end|>b", ViewOptions()))


def sentencepiece() -> TextCodec:
    """A tokenizer that marks the spaces before words, as SentencePiece does."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    tokenizer.train_from_iterator([*CORPUS, "something going on"], trainer)
    return TextCodec(tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer), "pieces")


@pytest.mark.parametrize("text", ["er it is", " is it", ". Now", "\n\nNow", "ing of it", "1"])
@pytest.mark.parametrize("before", ["the answer is that the oth", "So", "think a"])
def test_text_behind_half_a_word_gets_no_space_in_front(before: str, text: str) -> None:
    codec = sentencepiece()
    ids = codec.render(View("g", "Let us " + before, ViewOptions(template="raw")))

    # Whatever the tail begins with, the text is added as it is.
    for start in range(len(ids)):
        splice = codec.splice(ids[start:], text)
        written = codec.decode([*ids[start:][: splice.kept], *splice.added])
        assert written == codec.decode(ids[start:]) + text
