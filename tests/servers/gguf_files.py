"""Writing a small Qwen3 or Llama checkpoint as the file that llama.cpp's server reads.

The server's own tokenizer cannot cut text as the lab's does; it is only ever sent token ids.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, PretrainedConfig

_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    folder: Path,
    target: Path,
    *,
    begin_id: int | None = None,
    is_quantised: bool = False,
    stated: Mapping[str, str | float | int] | None = None,
    added: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write the checkpoint in `folder` to `target`.

    Args:
        folder: Of the checkpoint.
        target: The file.
        begin_id: The token that the server puts before every text, if any.
        is_quantised: Whether its matrices are written as blocks of 8 bits, not as float32.
        stated: Further metadata.
        added: Further tensors.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    writer = gguf.GGUFWriter(target, config.model_type)
    writer.add_name(folder.name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    for key, value in (stated or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    _add_tokenizer(writer, folder, config.vocab_size)
    writer.add_add_bos_token(begin_id is not None)
    if begin_id is not None:
        writer.add_bos_token_id(begin_id)
    tied = config.tie_word_embeddings
    for name, weights in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        _add_weights(writer, _gguf_name(name), _permuted(name, weights, config), is_quantised)
    for name, values in (added or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _permuted(name: str, weights: torch.Tensor, config: PretrainedConfig) -> torch.Tensor:
    """Return weights as llama.cpp has them: in a Llama, what rotates together stands together."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((heads[part] for part in heads if part in name), 0)
    if config.model_type != "llama" or not count:
        return weights
    halves = weights.reshape(count, 2, -1, weights.shape[1])
    return halves.transpose(1, 2).reshape(weights.shape)


def _add_weights(
    writer: gguf.GGUFWriter, name: str, weights: torch.Tensor, is_quantised: bool
) -> None:
    values = weights.contiguous().numpy()
    if not is_quantised or values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def _gguf_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    _, _, block, part = name.split(".", 3)
    stem, _, kind = part.rpartition(".")
    return f"blk.{block}.{_PARTS[stem]}.{kind}"


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    described = json.loads((folder / "tokenizer.json").read_text())
    tokens = {number: token for token, number in described["model"]["vocab"].items()}
    special = {one["id"] for one in described["added_tokens"] if one["special"]}
    tokens |= {one["id"]: one["content"] for one in described["added_tokens"]}
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([tokens.get(n, f"[unused{n}]") for n in range(size)])
    writer.add_token_types(
        [
            kinds.CONTROL if n in special else kinds.NORMAL if n in tokens else kinds.UNUSED
            for n in range(size)
        ]
    )
    merges = described["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    writer.add_eos_token_id(next(n for n, token in tokens.items() if token == "<eos>"))
    writer.add_pad_token_id(0)
