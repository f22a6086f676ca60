"""The lab's models: small Qwen3 decoders with tied embeddings, built and saved as folders."""

import os
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizer import MAX_TOKENS
from torch import nn
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

EMBEDDING_STD = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of one decoder."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int


def build_model(size: Size, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return an untrained float32 model on the CPU; its weights follow torch's global seed."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head_dim,
        intermediate_size=size.intermediate,
        max_position_embeddings=MAX_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers is untyped here
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    _initialise(model)
    return model


def save_folder(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a whole bfloat16 model folder, then let it take the place of one that is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        fresh, former = Path(parent, "fresh"), Path(parent, "former")
        rounded = nn.Module.to(deepcopy(model), "cpu", torch.bfloat16)
        rounded.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        for file in fresh.iterdir():
            # The weights come out readable by their owner alone, which a package must not be.
            file.chmod(0o644)
        if folder.exists():
            os.replace(folder, former)
        os.replace(fresh, folder)


@torch.no_grad()
def _initialise(model: Qwen3ForCausalLM) -> None:
    """Draw embeddings at 0.02, matrices at `fan_in ** -0.5`, half of it where a block ends."""
    for name, weight in model.named_parameters():
        if weight.ndim != 2:
            continue
        std = EMBEDDING_STD if "embed_tokens" in name else weight.shape[1] ** -0.5
        ends_a_block = name.endswith(("o_proj.weight", "down_proj.weight"))
        nn.init.normal_(weight, std=std / 2 if ends_a_block else std)
