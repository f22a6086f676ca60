"""Tiny random models of real architectures, and tokenizers to go with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from collab.proposals import Sampling
from collab.signals import NO_SIGNALS, Signals
from collab.views import View, ViewOptions
from collab_backends.local.engines import AUTO_ENGINE, EngineOptions
from collab_backends.local.loading import prepare
from collab_backends.local.model import LocalModel
from collab_backends.local.packed import PackedPasses
from collab_backends.local.session import LocalSession

GREEDY = Sampling()
ENGINE = AUTO_ENGINE
"""What `serving` asks of engines; the fixture `engine` changes it."""

CORPUS = [
    "So the answer is 12, because 3 times 4 is 12.\n\nNow check it again. Wait, is it right?\n\n",
    "What is 7 minus 2? Let us think step by step. The result of this is 5, therefore done.\n\n",
    "Now I look at the other word. Each word has a space before it, and then it ends.",
]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<quiet>{% endif %}"
)

TINY: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
}
"""Settings of tiny models, whatever their architecture."""

ARCHITECTURES: dict[str, tuple[type[tf.PretrainedConfig], dict[str, Any]]] = {
    "llama": (tf.LlamaConfig, {}),
    "qwen2": (tf.Qwen2Config, {}),
    "qwen3": (tf.Qwen3Config, {"head_dim": 16}),
    "gemma3": (
        tf.Gemma3TextConfig,
        {
            "head_dim": 16,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "query_pre_attn_scalar": 16,
        },
    ),
    "gemma2": (
        tf.Gemma2Config,
        {"head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16},
    ),
    "mistral": (tf.MistralConfig, {"sliding_window": 16}),
    "phi3": (tf.Phi3Config, {}),
    "olmo2": (tf.Olmo2Config, {}),
    "gpt-neox": (tf.GPTNeoXConfig, {}),
}


def make_tokenizer(*, vocabulary: int = 400, digits: bool = True) -> tf.PreTrainedTokenizerFast:
    """Train a byte-level tokenizer with a chat template and a special token."""
    tokenizer = Tokenizer(models.BPE())
    splits: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if digits:
        splits.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<eos>", "<|user|>", "<|end|>", "<|assistant|>", "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=["<|user|>", "<|end|>", "<|assistant|>", "<|system|>"],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(
    name: str = "qwen3",
    *,
    seed: int = 1,
    vocabulary: int = 400,
    dtype: torch.dtype = torch.float32,
    **changed: object,
) -> tf.PreTrainedModel:
    """Return a random model whose greedy text does not fall into a loop at once."""
    config_class, extra = ARCHITECTURES[name]
    options = TINY | {"vocab_size": vocabulary} | extra
    if name == "gpt-neox":
        del options["num_key_value_heads"]
    torch.manual_seed(seed)
    model = tf.AutoModelForCausalLM.from_config(config_class(**options), dtype=torch.float32)
    result: tf.PreTrainedModel = torch.nn.Module.to(enlivened(model), dtype)
    return result


def enlivened(model: tf.PreTrainedModel) -> tf.PreTrainedModel:
    """Return a random model with weights so large that its greedy text is no loop, and endless."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 and "A_log" not in name:
                weights.mul_(3)
    model.train(mode=False)
    model.generation_config.eos_token_id = None
    return model


def generate_ids(model: tf.PreTrainedModel, ids: list[int], new: int) -> list[int]:
    """Return what transformers' own greedy generate writes behind `ids`."""
    prompt = torch.tensor([ids])
    out = model.generate(  # type: ignore[operator]  # transformers' mixin
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new, do_sample=False
    )
    written: list[int] = out[0, len(ids) :].tolist()
    return written


@asynccontextmanager
async def serving(
    model: tf.PreTrainedModel,
    tokenizer: tf.PreTrainedTokenizerFast,
    *,
    chunk_tokens: int = 512,
    max_context_tokens: int | None = None,
    cache_tokens: int | None = None,
    options: EngineOptions | None = None,
) -> AsyncIterator[LocalModel]:
    """Serve a model that is in memory with the local engine."""
    loaded = prepare(
        model, tokenizer, "tiny", max_context_tokens, cache_gib=0.02, options=options or ENGINE
    )
    if cache_tokens is not None:
        loaded = replace(loaded, cache_tokens=cache_tokens)
    served = LocalModel("tiny", loaded, chunk_tokens=chunk_tokens)
    async with served.serving():
        yield served


def packed(model: LocalModel) -> PackedPasses:
    """Return the passes of a model that computes packed rows."""
    passes = model.engine.passes
    assert isinstance(passes, PackedPasses)
    return passes


@asynccontextmanager
async def session(
    model: LocalModel,
    prompt: str = "So the answer is",
    *,
    seed: int = 0,
    signals: Signals = NO_SIGNALS,
) -> AsyncIterator[LocalSession]:
    """Open a session behind a raw prompt."""
    view = View("generator", prompt, ViewOptions(template="raw"))
    async with model.open(view, seed=seed, signals=signals) as opened:
        yield opened
