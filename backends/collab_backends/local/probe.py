"""A look at a loaded model: does it give the same logits through our attention as through its own?

Architectures that keep state outside attention run without an error and write nonsense. What is
known of them is refused by name; this finds the others.
"""

import torch
from transformers import PreTrainedModel

from collab.errors import ModelLoadError
from collab_backends.local.attention import BACKEND_NAME, Piece, Plan
from collab_backends.local.cache import SequenceCache

_TOKENS = 24
_CUT = 15
_NEIGHBOUR = 7

_MOST_ASTRAY = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}
"""Mean difference of logits that is still rounding, as a share of their spread."""


@torch.inference_mode()
def probe(model: PreTrainedModel, reference: str) -> int:
    """Compare a text in two pieces, packed with a neighbour, with the model's plain forward pass.

    Leaves the model with our attention.

    Returns:
        The bytes that one token takes in a KV cache.

    Raises:
        ModelLoadError: The logits differ by more than rounding.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (_TOKENS,), generator=generator)
    neighbour = torch.randint(vocabulary, (_NEIGHBOUR,), generator=generator)
    model.set_attn_implementation("eager")
    plain = model(ids[None].to(model.device), use_cache=False).logits[0].float()
    model.set_attn_implementation(BACKEND_NAME)
    cache, other = SequenceCache(), SequenceCache()
    first = _packed(model, [(other, neighbour), (cache, ids[:_CUT])])[_NEIGHBOUR:]
    second = _packed(model, [(cache, ids[_CUT:])])
    astray = (torch.cat([first, second]) - plain).abs().mean() / plain.std().clamp(min=1e-6)
    if not float(astray) <= _MOST_ASTRAY.get(model.dtype, 0.1):
        raise ModelLoadError(
            f"{reference!r} ({type(model).__name__}) gives other logits through the local engine "
            f"than by itself: they differ by {float(astray):.2g} of their spread. Serve it "
            "remotely instead"
        )
    return cache.nbytes // cache.capacity


def _packed(
    model: PreTrainedModel, pieces: list[tuple[SequenceCache, torch.Tensor]]
) -> torch.Tensor:
    plan: list[Piece] = []
    positions: list[int] = []
    start = 0
    for cache, ids in pieces:
        plan.append(Piece(cache, start, start + len(ids)))
        positions += range(cache.length, cache.length + len(ids))
        start += len(ids)
    packed = torch.cat([ids for _, ids in pieces])[None].to(model.device)
    logits: torch.Tensor = model(
        input_ids=packed,
        position_ids=torch.tensor([positions], device=model.device),
        use_cache=False,
        plan=Plan(tuple(plan)),
    ).logits[0]
    for cache, ids in pieces:
        cache.advance(ids.tolist())
    return logits.float()
