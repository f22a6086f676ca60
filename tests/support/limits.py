"""What a decoding step has to do at least."""

from transformers import PreTrainedModel


def read_bytes(model: PreTrainedModel, cached_tokens: int) -> int:
    """Return the bytes that a step reads: all weights once, and `cached_tokens` cached tokens.

    An input embedding that is not the head as well is not read.
    """
    parameters = read_parameters(model)
    return parameters * _width(model) + cached_tokens * token_bytes(model)


def read_parameters(model: PreTrainedModel) -> int:
    """Return how many parameters a step reads."""
    config = model.config.get_text_config()
    parameters = sum(weights.numel() for weights in model.parameters())
    if not config.tie_word_embeddings:
        parameters -= config.vocab_size * config.hidden_size
    return parameters


def token_bytes(model: PreTrainedModel) -> int:
    """Return the memory of one token in a cache, as the configuration says."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * _width(model))


def _width(model: PreTrainedModel) -> int:
    return next(model.parameters()).element_size()
