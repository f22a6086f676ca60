"""Is it right? Greedy and sampled texts beside the model's own, after whatever happened to them."""

import random
import traceback
from collections.abc import Sequence

import anyio
import torch
from gpu_models import GREEDY, Bench, open_text, options, served
from support.changes import change
from support.limits import token_bytes
from support.models import ARCHITECTURES, make_model
from transformers import PreTrainedModel

from collab.proposals import Sampling, Until
from collab_backends.local.model import LocalModel

NEW = 40
TEXTS = 9
SAMPLINGS = (
    Sampling(temperature=1.0),
    Sampling(temperature=0.7, top_p=0.8),
    Sampling(temperature=1.3, top_k=9),
)
Texts = dict[int, list[int]]
ULP = {torch.bfloat16: 2.0**-8, torch.float32: 2.0**-20}


async def check_equality(bench: Bench) -> dict[str, object]:
    """Compare texts of all architectures in float32, with graphs and without, and margins in bf16.

    A figure is True where all texts were the model's own; margins above 1 are wrong.
    """
    figures: dict[str, object] = {}
    architectures = list(ARCHITECTURES) if bench.device.type == "cuda" else ["qwen3", "gemma2"]
    for name in architectures:
        drawn: list[Texts] = []
        for has_graphs in (True, False):
            key = f"{name}.{'graphs' if has_graphs else 'eager'}"
            try:
                found = await _check(bench, name, drawn, has_graphs=has_graphs)
            except Exception:  # noqa: BLE001  # told, and the next one runs
                found = {"error": traceback.format_exc()}
            figures |= {f"{key}.{what}": value for what, value in found.items()}
        figures[f"{name}.sampled_with_and_without_graphs"] = len({str(one) for one in drawn}) == 1
        figures[f"{name}.margin.bfloat16"] = await _worst_margin(bench, name)
    return figures


async def _check(
    bench: Bench, name: str, drawn: list[Texts], *, has_graphs: bool
) -> dict[str, object]:
    model = _at(bench, make_model(name))
    rng = random.Random(name)
    prompts = [[rng.randrange(6, 400) for _ in range(5 + 13 * place)] for place in range(TEXTS)]
    expected = [_own(model, prompt, NEW) for prompt in prompts]
    wanted = options(bench, has_graphs=has_graphs, compiles=False)
    figures: dict[str, object] = {}
    async with served(model, wanted, cache_gib=0.01) as local:
        together = await _write_all(local, prompts)
        figures["together"] = together == expected
        alone, beside = await _samples(local, prompts)
        drawn.append(alone)
        figures["sampled"] = alone == beside
    # Room for a third of the texts: pages run out, texts give way and are computed again.
    scarce = sum(map(len, prompts)) // 3 * token_bytes(model) / 2**30
    async with served(model, wanted, cache_gib=scarce) as local:
        figures["out_of_pages"] = await _write_all(local, prompts) == expected
        figures["after_any_life"] = await _live_beside(local, model, name)
        figures["all_free"] = local.engine.memory.live_caches == 0
    return figures


async def _write_all(local: LocalModel, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Have all texts written, joining one after another and leaving one after another."""
    written: dict[int, list[int]] = {}

    async def write(number: int) -> None:
        session = open_text(local, prompts[number])
        try:
            first = await session.generate(Until(3 + 2 * number), GREEDY)
            session.commit(len(first.tokens))
            rest = await session.generate(Until(NEW - len(first.tokens)), GREEDY)
            written[number] = [token.id for token in (*first.tokens, *rest.tokens)]
        finally:
            session.close()

    async with anyio.create_task_group() as group:
        for number in range(len(prompts)):
            group.start_soon(write, number)
    return [written[number] for number in range(len(prompts))]


async def _samples(local: LocalModel, prompts: Sequence[Sequence[int]]) -> tuple[Texts, Texts]:
    """Return texts drawn alone, and drawn beside others."""

    async def draw(number: int, written: Texts) -> None:
        session = open_text(local, prompts[number], seed=number)
        proposal = await session.generate(Until(NEW), SAMPLINGS[number % len(SAMPLINGS)])
        written[number] = [token.id for token in proposal.tokens]
        session.close()

    alone: Texts = {}
    beside: Texts = {}
    for number in range(len(prompts)):
        await draw(number, alone)
    async with anyio.create_task_group() as group:
        for number in range(len(prompts)):
            group.start_soon(draw, number, beside)
    return alone, dict(sorted(beside.items()))


async def _live_beside(local: LocalModel, model: PreTrainedModel, name: str) -> bool:
    """Return whether texts that fork, roll back and ask beside each other went on as they should.

    The oracle's passes take turns with the engine's: they change the model's attention.
    """
    right: list[bool] = []
    sessions = [
        open_text(local, [rng.randrange(6, 400) for _ in range(rng.randrange(4, 60))])
        for rng in (random.Random(f"{name} {seed}") for seed in range(3))
    ]
    rng = random.Random(name)
    try:
        for _ in range(4):
            async with anyio.create_task_group() as group:
                for session in sessions:
                    group.start_soon(change, session, rng)
            written: Texts = {}

            async def write(number: int, written: Texts) -> None:
                proposal = await sessions[number].generate(Until(6), GREEDY)
                written[number] = [token.id for token in proposal.tokens]

            async with anyio.create_task_group() as group:
                for number in range(len(sessions)):
                    group.start_soon(write, number, written)
            right += [
                written[number] == _own(model, list(session.ids), 6)
                for number, session in enumerate(sessions)
            ]
    finally:
        for session in sessions:
            session.close()
    return all(right)


def _own(model: PreTrainedModel, ids: list[int], new: int) -> list[int]:
    """Return the model's own greedy text, one plain forward pass for each token."""
    given = model.config._attn_implementation
    model.set_attn_implementation("eager")
    text = list(ids)
    with torch.inference_mode():
        for _ in range(new):
            row = torch.tensor([text], device=model.device)
            text.append(int(model(row, use_cache=False, logits_to_keep=1).logits[0, -1].argmax()))
    model.set_attn_implementation(given)
    return text[len(ids) :]


async def _worst_margin(bench: Bench, name: str) -> float:
    """Return by how much the model finds the engine's tokens worse than its own, over what rounding
    explains (8 units in the last place of the largest logit); above 1 the engine is wrong.
    """
    model = _at(bench, make_model(name, dtype=torch.bfloat16))
    rng = random.Random(name)
    prompts = [[rng.randrange(6, 400) for _ in range(rng.randrange(20, 90))] for _ in range(TEXTS)]
    async with served(model, options(bench, compiles=False), cache_gib=0.01) as local:
        written = await _write_all(local, prompts)
    model.set_attn_implementation("eager")
    worst = 0.0
    for prompt, ids in zip(prompts, written, strict=True):
        with torch.inference_mode():
            text = torch.tensor([[*prompt, *ids]], device=model.device)
            logits = model(text, use_cache=False).logits[0, -len(ids) - 1 : -1].float()
        chosen = logits.gather(1, torch.tensor(ids, device=model.device)[:, None])[:, 0]
        gap = (logits.max(dim=1).values - chosen).max()
        worst = max(worst, float(gap / (8 * ULP[torch.bfloat16] * logits.abs().max())))
    return worst


def _at(bench: Bench, model: PreTrainedModel) -> PreTrainedModel:
    moved: PreTrainedModel = torch.nn.Module.to(model, bench.device)
    return moved
