"""The engine `generic`, where something goes wrong: in a pass, in memory, when it is loaded."""

import copy
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import torch
import transformers as tf
from support.generic_models import (
    GENERIC_ENGINE,
    endless_tokenizer,
    ids_of,
    make_generic,
    room_for,
)
from support.models import CORPUS, GREEDY, generate_ids, make_tokenizer, serving, session

from collab.capabilities import Capabilities
from collab.errors import ContextOverflowError, ModelCallError, ModelLoadError
from collab.proposals import Until
from collab_backends.local.backend import LocalTorch
from collab_backends.local.loading import prepare
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession


@pytest.mark.parametrize("architecture", ["mamba", "llama"])
async def test_memory_is_bounded_and_given_back(architecture: str) -> None:
    tokenizer, model = endless_tokenizer(), make_generic(architecture)
    room = room_for(model, 96)
    most: list[int] = []

    async with serving(model, tokenizer, cache_tokens=room, options=GENERIC_ENGINE) as served:

        async def write(prompt: str) -> None:
            async with session(served, prompt) as live:
                for _ in range(3):
                    await live.generate(Until(8), GREEDY)
                    live.commit(8)
                    most.append(served.engine.memory.taken)

        async with anyio.create_task_group() as group:
            for prompt in CORPUS:
                group.start_soon(write, prompt)
        with pytest.raises(ContextOverflowError, match="needs more memory than all caches may"):
            async with session(served, CORPUS[0] * 4) as live:
                await live.generate(Until(1), GREEDY)

    assert 0 < max(most) <= room
    assert served.engine.memory.taken == 0


async def test_a_pass_that_fails_fails_its_text_alone_which_goes_on_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer, model = endless_tokenizer(), make_generic("mamba2")
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[1]) as good, session(served) as bad:
            ids, bad_ids = ids_of(good), ids_of(bad)
            expected = generate_ids(plain, bad_ids, 8)
            _fail_once_at(model, expected[3], RuntimeError("the device is on fire"), monkeypatch)
            async with anyio.create_task_group() as group:
                group.start_soon(_expect_failure, bad)
                proposal = await good.generate(Until(8), GREEDY)
            after = await bad.generate(Until(8), GREEDY)

    assert expected[3] not in generate_ids(plain, ids, 8)
    assert [token.id for token in proposal.tokens] == generate_ids(plain, ids, 8)
    assert [token.id for token in after.tokens] == expected


async def test_a_text_for_which_memory_ran_out_is_computed_again_once_others_gave_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer, model = endless_tokenizer(), make_generic("mamba2")
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[1]) as resting, session(served) as live:
            await resting.generate(Until(1), GREEDY)
            expected = generate_ids(plain, ids_of(live), 8)
            _fail_once_at(model, expected[3], MemoryError(), monkeypatch)
            proposal = await live.generate(Until(8), GREEDY)

    assert [token.id for token in proposal.tokens] == expected


def _fail_once_at(
    model: tf.PreTrainedModel, token: int, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have the pass that feeds a token alone fail, after all layers have taken it in."""
    forward: Callable[..., object] = model.forward
    left = [error]

    def failing(**told: object) -> object:
        output = forward(**told)
        ids = told["input_ids"]
        assert isinstance(ids, torch.Tensor)
        if left and ids.tolist() == [[token]]:
            raise left.pop()
        return output

    monkeypatch.setattr(model, "forward", failing)


async def _expect_failure(live: LocalSession) -> None:
    with pytest.raises(ModelCallError, match="the device is on fire"):
        await live.generate(Until(8), GREEDY)


async def test_a_cancelled_call_leaves_the_text_as_it_was() -> None:
    tokenizer, model = endless_tokenizer(), make_generic("mamba2")
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served) as live:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(live.generate, Until(400), GREEDY)
                    while not served.engine.decoded:
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()
            proposal = await live.generate(Until(12), GREEDY)
            ids = ids_of(live)

    assert [token.id for token in proposal.tokens] == generate_ids(plain, ids, 12)


async def test_a_folder_is_run_by_name_which_its_refusal_proposes(tmp_path: Path) -> None:
    make_generic("mamba").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)

    with pytest.raises(ModelLoadError, match="set engine: generic, which computes one text after"):
        async with LocalTorch(model=str(tmp_path)).connect():
            pass
    async with LocalTorch(model=str(tmp_path), engine="generic", threads=1).connect() as model:
        assert isinstance(model, LocalModel)
        async with session(model) as live:
            proposal = await live.generate(Until(4), GREEDY)

    assert len(proposal.tokens) == 4
    assert isinstance(model.capabilities, Capabilities)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (tf.RecurrentGemmaConfig, "the model gives no cache back; it keeps what it read in itself"),
        (tf.RwkvConfig, "its forward pass knows no cache; serve it remotely instead"),
    ],
)
def test_a_model_that_keeps_its_state_in_itself_is_refused(
    config: type[tf.PretrainedConfig], reason: str
) -> None:
    model = make_generic("", config_class=config)

    with pytest.raises(ModelLoadError, match=reason):
        prepare(model, make_tokenizer(), "forgetful", options=GENERIC_ENGINE)


def test_a_cache_that_loses_something_is_noticed() -> None:
    model = make_generic("llama")

    def remember(module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0] + args[0].cumsum(dim=1), *args[1:])

    model.model.layers[1].register_forward_pre_hook(remember)

    with pytest.raises(
        ModelLoadError, match="gives different logits when it continues with its own ca"
    ):
        prepare(model, make_tokenizer(), "recurrent", options=GENERIC_ENGINE)


def test_a_text_is_no_longer_than_positions_are_scaled_alike() -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 8,
        "long_factor": [2.0] * 8,
        "original_max_position_embeddings": 128,
    }
    model = make_generic(
        "", config_class=tf.Phi3Config, rope_parameters=rope, original_max_position_embeddings=128
    )

    assert prepare(model, make_tokenizer(), "long", options=GENERIC_ENGINE).context_tokens == 128


def test_weights_that_are_no_numbers_are_named() -> None:
    model = make_generic("gpt-oss")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan

    with pytest.raises(ModelLoadError, match="gives logits that are not numbers, even by itself"):
        prepare(model, make_tokenizer(), "damaged", options=GENERIC_ENGINE)
