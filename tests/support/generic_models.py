"""Tiny random models that cannot share passes, and a plain one to compare them with."""

from typing import Any

import torch
import transformers as tf
from support.models import TINY, enlivened, make_tokenizer

from collab_backends.local.engines import EngineOptions
from collab_backends.local.generic_probe import probe_own_cache
from collab_backends.local.session import LocalSession

GENERIC_ENGINE = EngineOptions(engine="generic")

HYBRID: dict[str, Any] = {
    "mamba_d_head": 16,
    "mamba_d_state": 16,
}
GENERIC: dict[str, tuple[type[tf.PretrainedConfig], dict[str, Any]]] = {
    "llama": (tf.LlamaConfig, {}),
    "gpt-oss": (
        tf.GptOssConfig,
        {"head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 16},
    ),
    "qwen3-next": (
        tf.Qwen3NextConfig,
        {
            "head_dim": 16,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
        },
    ),
    "falcon-h1": (
        tf.FalconH1Config,
        {**HYBRID, "head_dim": 16, "mamba_d_ssm": 64, "mamba_n_heads": 4},
    ),
    "bamba": (tf.BambaConfig, {**HYBRID, "mamba_n_heads": 8, "attn_layer_indices": [1, 3]}),
    "jamba": (
        tf.JambaConfig,
        {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 8,
            "use_mamba_kernels": False,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
        },
    ),
    "dynamic-rope": (
        tf.LlamaConfig,
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
    ),
    "longrope": (
        tf.Phi3Config,
        {
            "original_max_position_embeddings": 512,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
                "long_factor": [2.0] * 8,
                "original_max_position_embeddings": 512,
            },
        },
    ),
    "mamba": (tf.MambaConfig, {"state_size": 8}),
    "mamba2": (
        tf.Mamba2Config,
        {"state_size": 16, "num_heads": 8, "head_dim": 16, "n_groups": 2, "chunk_size": 16},
    ),
}


def make_generic(
    name: str,
    *,
    seed: int = 1,
    config_class: type[tf.PretrainedConfig] | None = None,
    **changed: object,
) -> tf.PreTrainedModel:
    """Return a random model whose greedy text does not fall into a loop at once.

    Args:
        name: Of `GENERIC`; ignored if there is another class.
        seed: Of its weights.
        config_class: Of another architecture.
        changed: Settings that are not as usual.
    """
    known, extra = (config_class, {}) if config_class else GENERIC[name]
    options = TINY | extra | changed
    torch.manual_seed(seed)
    model = tf.AutoModelForCausalLM.from_config(known(**options), dtype=torch.float32)
    return enlivened(model)


def room_for(model: tf.PreTrainedModel, tokens: int) -> int:
    """Return the bound on all caches that leaves room for `tokens` of one text."""
    return probe_own_cache(model, "tiny").fixed_tokens + tokens


def endless_tokenizer() -> tf.PreTrainedTokenizerFast:
    """Return a tokenizer without an end of text, which random models write soon."""
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    return tokenizer


def ids_of(session: LocalSession) -> list[int]:
    return list(session.ids)
