"""Hidden states behind given text, on a fork; and forks that draw other texts."""

import copy

import pytest
import torch
from support.models import GREEDY, make_model, make_tokenizer, serving, session

from collab.errors import ConfigError, ContextOverflowError
from collab.proposals import Sampling, Until
from collab.testing import check_backend
from collab_backends.local.backend import LocalTorch
from collab_backends.local.fingerprint import fingerprint
from collab_backends.local.loading import load_model

pytestmark = pytest.mark.usefixtures("engine")

TOKENIZER = make_tokenizer()
LAYERS = 4
PROMPT = "So the answer is 12, because 3 times 4 is 12."
QUESTION = "\nWhat is right? (A) 12 (B) 7. "


def last_state(model: object, text: str, layer: int) -> list[float]:
    ids = torch.tensor([TOKENIZER.encode(text, add_special_tokens=False)])
    with torch.inference_mode():
        states = model(ids, output_hidden_states=True).hidden_states  # type: ignore[operator]
    found: list[float] = states[layer][0, -1].tolist()
    return found


@pytest.mark.parametrize("layer", [0, 2, LAYERS, -1, -2])
async def test_the_state_is_that_of_the_models_own_pass_over_all_of_it(layer: int) -> None:
    model = make_model()
    plain = copy.deepcopy(model)

    async with serving(model, TOKENIZER) as served, session(served, PROMPT) as live:
        behind = await live.observe(QUESTION, layer)
        here = await live.observe("", layer)

    assert list(behind) == pytest.approx(last_state(plain, PROMPT + QUESTION, layer), abs=1e-4)
    assert list(here) == pytest.approx(last_state(plain, PROMPT, layer), abs=1e-4)


async def test_looking_prefills_only_the_question_and_changes_nothing() -> None:
    prompt = len(TOKENIZER.encode(PROMPT, add_special_tokens=False))
    asked = len(TOKENIZER.encode(QUESTION, add_special_tokens=False))

    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        before = await live.generate(Until(4), GREEDY)
        await live.observe(QUESTION, -1)
        after = await live.generate(Until(4), GREEDY)

        assert after.tokens == before.tokens
        assert (model.engine.prefilled, model.engine.decoded) == (prompt + asked, 4)
        assert live.meter.prompt_tokens - live.meter.cached_tokens == model.engine.prefilled
        assert live.meter.completion_tokens == 4


@pytest.mark.parametrize("layer", [LAYERS + 1, -LAYERS - 2])
async def test_a_layer_that_is_not_there_is_refused(layer: int) -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        with pytest.raises(ConfigError, match=rf"layer {layer} is out of range.* 4 blocks"):
            await live.observe("", layer)


async def test_a_question_without_room_is_told() -> None:
    async with serving(make_model(), TOKENIZER, max_context_tokens=24) as model:
        async with session(model, PROMPT) as live:
            with pytest.raises(ContextOverflowError):
                await live.observe(QUESTION * 2, -1)


async def test_forks_with_seeds_of_their_own_draw_other_texts_and_the_same_again() -> None:
    warm = Sampling(temperature=2.0)

    async def drawn(seed: int) -> str:
        async with live.fork() as twin:
            twin.reseed(seed)
            return (await twin.generate(Until(8), warm)).text

    async with serving(make_model(), TOKENIZER) as model, session(model, PROMPT) as live:
        texts = [await drawn(seed) for seed in (1, 2, 3, 1)]

    assert texts[0] == texts[3]
    assert len(set(texts)) == 3


# --- fingerprints -----------------------------------------------------------------------------


def test_a_fingerprint_is_of_the_weights_whatever_they_are_loaded_as() -> None:
    as_float = load_model("lab/generator", "cpu", "float32").model
    as_bfloat = load_model("lab/generator", "cpu", "bfloat16").model
    other = load_model("lab/mentor", "cpu", "float32").model

    assert fingerprint(as_float) == fingerprint(as_bfloat)
    assert fingerprint(as_float) != fingerprint(other)


def test_training_or_other_positions_change_the_fingerprint() -> None:
    model = make_model()
    before = fingerprint(model)
    trained = copy.deepcopy(model)
    with torch.no_grad():
        trained.model.layers[3].mlp.down_proj.weight.mul_(1.01)
    moved = copy.deepcopy(model)
    moved.config.rope_parameters = {**moved.config.rope_parameters, "rope_theta": 5e5}

    assert fingerprint(make_model()) == before
    assert fingerprint(make_model(seed=2)) != before
    assert fingerprint(trained) != before
    assert fingerprint(moved) != before


async def test_a_local_model_tells_its_width_and_fingerprint() -> None:
    async with LocalTorch(model="lab/generator").connect() as model:
        told = model.capabilities

    assert told.hidden_size == 64
    assert len(told.fingerprint) == 16


async def test_the_contract_of_looking_is_kept() -> None:
    await check_backend(LocalTorch(model="lab/generator", threads=1))
