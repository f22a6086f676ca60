"""A look at passes over pages before they are used: are their logits the model's own?"""

import numpy as np
import torch

from collab_backends.local.paged.frames import Features, read_shape
from collab_backends.local.paged.pages import PAGE_TOKENS, PagedCache
from collab_backends.local.paged.passes import PagedPasses
from collab_backends.local.paged.pool import UnpageableError
from collab_backends.local.paged.reading import LOG_SUM, TOP
from collab_backends.local.probe import most_rounding

_TOKENS, _CUT = 40, 23


@torch.inference_mode()
def check(passes: PagedPasses, plain: torch.Tensor, ids: torch.Tensor) -> None:
    """Compare a text read in two pieces, and one token decoded after it, with plain logits.

    Args:
        passes: What is looked at.
        plain: The model's own logits of the text, `(T, V)`.
        ids: The text, `(T,)`.

    Raises:
        UnpageableError: They differ by more than rounding.
    """
    cache = passes.memory.new_cache()
    assert passes.memory.claim(cache, len(ids)), "there is room for a short text"
    given = ids.tolist()
    try:
        with passes.working():
            first = _read(passes, cache, given[:_CUT])
            second = _read(passes, cache, given[_CUT:-1])
            decoded = _decode(passes, cache, given[-1])
            passes.launcher.wait()
    finally:
        passes.memory.rest(cache)
        passes.memory.release(cache)
    # Where most logits are alike, rounding is that of the largest.
    spread = torch.maximum(plain.std(), plain.abs().max() / 8).clamp(min=1e-6)
    astray = (torch.cat([first, second]) - plain[:-1]).abs().mean() / spread
    last = torch.stack([plain[-1].logsumexp(0), plain[-1].max()]).double().cpu()
    off = (decoded - last).abs().max() / spread.cpu()
    most = most_rounding(passes.model.dtype)
    if not (float(astray) <= most and float(off) <= 10 * most):
        raise UnpageableError(
            f"its logits over pages differ from its own by {float(astray):.2g} and "
            f"{float(off):.2g} of their spread"
        )


def sample(model: torch.nn.Module, vocabulary: int) -> torch.Tensor:
    """Return the ids of the text that is looked at."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (_TOKENS,), generator=generator)


def _read(passes: PagedPasses, cache: PagedCache, given: list[int]) -> torch.Tensor:
    start, row = cache.length, passes.launcher.pool.texts - 1
    places = range(start, start + len(given))
    frame, launch = passes.launcher.read(*read_shape(len(given), len(given)), Features())
    passes.launcher.pool.set_tables([row], [cache.pages])
    tokens = [
        (one, place, cache.pages[place // PAGE_TOKENS] * PAGE_TOKENS + place % PAGE_TOKENS, 0)
        for one, place in zip(given, places, strict=True)
    ]
    size = frame.block_tokens
    blocks = [
        (row, first, min(size, len(given) - first), start + first)
        for first in range(0, len(given), size)
    ]
    frame.load(np.asarray(tokens), blocks, range(len(given)))
    logits = launch().logits
    assert logits is not None, "contexts have logits"
    cache.advance(given)
    # A copy: the next pass may use the memory again.
    return logits[: len(given)].float().clone()


def _decode(passes: PagedPasses, cache: PagedCache, given: int) -> torch.Tensor:
    frame, launch = passes.launcher.decode(1, Features())
    place = cache.length
    page = cache.pages[place // PAGE_TOKENS]
    row = passes.launcher.pool.texts - 1
    frame.load(([row], [place], [page], [given], [0], [0]), ([0.0], [0.0], [1.0]))
    numbers = launch().numbers
    assert numbers is not None, "texts that decode have numbers"
    return numbers[0, [LOG_SUM, TOP]].cpu()
