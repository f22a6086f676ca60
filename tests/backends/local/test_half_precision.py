"""Half precision: near ties fall differently with the batch, so texts are compared by margin.

The reference's own tokens are fed to the engine one by one; wherever it would go on with another
one, the reference itself must have been nearly undecided. Measured on CPU, transformers' own
generate parts from itself between batch sizes in the same way.
"""

import copy

import anyio
import pytest
import torch
from support.models import CORPUS, GREEDY, generate_ids, make_model, make_tokenizer, serving

from collab.proposals import Until
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession

TOKENIZER = make_tokenizer()
NEW = 32
ULPS = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


async def next_id(model: LocalModel, ids: list[int]) -> int:
    """Return the engine's greedy token behind ids."""
    live = LocalSession(model.seat, "generator", ids)
    try:
        return (await live.generate(Until(1), GREEDY)).tokens[0].id
    finally:
        live.close()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ULPS)
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2", "olmo2"])
async def test_the_engine_parts_from_the_reference_only_where_that_is_nearly_undecided(
    architecture: str, dtype: torch.dtype
) -> None:
    model = make_model(architecture, dtype=dtype)
    plain = copy.deepcopy(model)
    prompts = [TOKENIZER.encode(one, add_special_tokens=False) for one in CORPUS]
    texts = [prompt + generate_ids(plain, prompt, NEW) for prompt in prompts]
    chosen: dict[tuple[int, int], int] = {}

    async with serving(model, TOKENIZER) as served:

        async def follow(number: int) -> None:
            for place in range(len(prompts[number]), len(texts[number])):
                chosen[number, place] = await next_id(served, texts[number][:place])

        async with anyio.create_task_group() as group:
            for number in range(len(prompts)):
                group.start_soon(follow, number)

    for (number, place), token in chosen.items():
        with torch.inference_mode():
            logits = plain(torch.tensor([texts[number][:place]])).logits[0, -1].float()
        epsilon = 4 * ULPS[dtype] * float(logits.abs().max())
        assert float(logits.max() - logits[token]) <= 2 * epsilon
