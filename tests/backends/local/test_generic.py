"""The engine `generic`: one text after another, with the model's own attention and cache."""

import copy
import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import torch
import transformers as tf
from support.changes import change
from support.generic_models import GENERIC, make_generic
from support.models import CORPUS, GREEDY, generate_ids, make_tokenizer, serving, session

from collab.capabilities import Capabilities
from collab.errors import ContextOverflowError, ModelCallError, ModelLoadError
from collab.proposals import Until
from collab.signals import Observation, Signals, Steering
from collab_backends.local.backend import LocalTorch
from collab_backends.local.engines import EngineOptions
from collab_backends.local.generic_probe import probe_own_cache
from collab_backends.local.loading import prepare
from collab_backends.local.model import LocalModel
from collab_backends.local.session import LocalSession

PROMPTS = ["a", "So the answer is", CORPUS[0], CORPUS[1] + CORPUS[2]]
GENERIC_ENGINE = EngineOptions(engine="generic")
QUESTION = "\nIs it A or B? ("


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


def last_logits(model: tf.PreTrainedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(torch.tensor([ids]), use_cache=False).logits[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("architecture", GENERIC)
@pytest.mark.parametrize("chunk_tokens", [7, 512])
async def test_texts_side_by_side_equal_generate(architecture: str, chunk_tokens: int) -> None:
    tokenizer, model = endless_tokenizer(), make_generic(architecture)
    prompts = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in PROMPTS]
    expected = [generate_ids(model, prompt, 32) for prompt in prompts]
    written: dict[int, list[int]] = {}

    async with serving(
        model, tokenizer, chunk_tokens=chunk_tokens, options=GENERIC_ENGINE
    ) as served:

        async def write(number: int) -> None:
            async with session(served, PROMPTS[number]) as live:
                proposal = await live.generate(Until(32), GREEDY)
                written[number] = [token.id for token in proposal.tokens]

        async with anyio.create_task_group() as group:
            for number in range(len(PROMPTS)):
                group.start_soon(write, number)

    assert [written[number] for number in range(len(PROMPTS))] == expected


@pytest.mark.slow
@pytest.mark.parametrize("architecture", GENERIC)
@pytest.mark.parametrize("seed", range(2))
async def test_after_any_operations_the_text_goes_on_as_if_nothing_was_cached(
    architecture: str, seed: int
) -> None:
    tokenizer, model = endless_tokenizer(), make_generic(architecture, seed=seed + 1)
    plain = copy.deepcopy(model)

    # With memory for hardly one of the three texts, caches are dropped and computed again.
    room = room_for(model, 170)
    async with serving(
        model, tokenizer, chunk_tokens=9, cache_tokens=room, options=GENERIC_ENGINE
    ) as served:

        async def live_on(rng: random.Random) -> None:
            async with session(served, rng.choice(CORPUS)) as live:
                for _ in range(5):
                    await change(live, rng)
                    proposal = await live.generate(Until(6), GREEDY)
                    expected = generate_ids(plain, ids_of(live), 6)
                    assert [token.id for token in proposal.tokens] == expected

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(live_on, random.Random(f"{seed} {number}"))


@pytest.mark.parametrize("architecture", ["mamba", "jamba", "qwen3-next", "gpt-oss"])
async def test_answers_about_a_text_equal_a_plain_forward_pass(architecture: str) -> None:
    tokenizer, model = endless_tokenizer(), make_generic(architecture)
    plain = copy.deepcopy(model)
    text = " because 3 times 4 is 12."

    async with serving(model, tokenizer, chunk_tokens=3, options=GENERIC_ENGINE) as served:
        async with session(served, signals=Signals(entropy_top_k=5)) as live:
            ids = ids_of(live)
            proposal = await live.generate(Until(5), GREEDY)
            answer = await live.judge(QUESTION, ("A", "B"))
            scored = await live.score(text)
            state = await live.observe(QUESTION, 2)  # of the layer's input

    written = [token.id for token in proposal.tokens]
    rows = torch.log_softmax(last_logits(plain, ids + written)[len(ids) - 1 : -1], dim=-1)
    expected = rows.gather(1, torch.tensor(written)[:, None])[:, 0]
    assert [one.logprob for one in proposal.tokens] == pytest.approx(expected.tolist(), abs=1e-3)
    added = [token.id for token in scored]
    rows = torch.log_softmax(last_logits(plain, ids + added)[len(ids) - 1 : -1], dim=-1)
    expected = rows.gather(1, torch.tensor(added)[:, None])[:, 0]
    assert [one.logprob for one in scored] == pytest.approx(expected.tolist(), abs=1e-3)
    asked = tokenizer.encode("So the answer is" + QUESTION, add_special_tokens=False)
    probabilities = torch.softmax(last_logits(plain, asked)[-1], dim=-1)
    (label,) = tokenizer.encode("A", add_special_tokens=False)
    assert answer.labels["A"] == pytest.approx(float(probabilities[label]), abs=1e-4)
    with torch.inference_mode():
        hidden = plain(torch.tensor([asked]), use_cache=False, output_hidden_states=True)
    # transformers leaves out the embeddings, layer 0, for Mamba.
    inputs = hidden.hidden_states[1 if architecture == "mamba" else 2]
    assert list(state) == pytest.approx(inputs[0, -1].tolist(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("architecture", ["mamba", "qwen3-next", "gpt-oss"])
async def test_a_steered_text_is_computed_again_as_it_was(architecture: str) -> None:
    tokenizer, model = endless_tokenizer(), make_generic(architecture)
    signals = Signals(observations=(Observation("state", 2),))
    vector = [0.5 * (number % 3 - 1) for number in range(64)]

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, signals=signals) as live:
            plain = await live.generate(Until(6), GREEDY)
            live.steer(Steering(layer=1, vector=vector))
            steered = await live.generate(Until(6), GREEDY)
            live.commit(3)
            served.engine.memory.drop_resting()
            again = await live.generate(Until(3), GREEDY)
            async with live.fork() as twin:
                forked = await twin.generate(Until(3), GREEDY)

    assert [token.logprob for token in steered.tokens] != [token.logprob for token in plain.tokens]
    assert list((steered.tokens[0].observed or {})["state"]) != pytest.approx(
        list((plain.tokens[0].observed or {})["state"]), abs=1e-3
    )
    for text in (again, forked):
        assert [token.id for token in text.tokens] == [token.id for token in steered.tokens[3:]]


async def test_a_fork_of_a_state_is_a_copy_and_a_rollback_computes_anew() -> None:
    tokenizer, model = endless_tokenizer(), make_generic("mamba")

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[0]) as live:
            mark, prompt = live.mark, len(live.ids)
            await live.generate(Until(4), GREEDY)
            live.commit(4)
            before = served.engine.prefilled
            async with live.fork() as twin:
                await twin.generate(Until(2), GREEDY)
            forked = served.engine.prefilled - before
            live.rollback(mark)
            await live.generate(Until(1), GREEDY)

    # The fourth token was decoded, but not fed: that is all the fork computes of its text.
    assert forked == 1
    assert served.engine.prefilled - before - forked == prompt


async def test_a_forks_state_is_its_own() -> None:
    tokenizer, model = endless_tokenizer(), make_generic("mamba")
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[0]) as live:
            await live.generate(Until(4), GREEDY)
            live.commit(4)
            async with live.fork() as twin:
                twin.append(" junk")
                other, other_ids = await twin.generate(Until(4), GREEDY), ids_of(twin)
            proposal = await live.generate(Until(6), GREEDY)
            ids = ids_of(live)

    assert [token.id for token in other.tokens] == generate_ids(plain, other_ids, 4)
    assert [token.id for token in proposal.tokens] == generate_ids(plain, ids, 6)


async def test_a_rollback_cuts_a_cache_that_can_be_cut() -> None:
    tokenizer, model = endless_tokenizer(), make_generic("llama")

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[0]) as live:
            mark = live.mark
            await live.generate(Until(4), GREEDY)
            live.commit(4)
            live.rollback(mark)
            before = served.engine.prefilled
            await live.generate(Until(1), GREEDY)

    assert served.engine.prefilled - before == 1


async def test_a_window_that_is_full_is_not_cut_but_computed_anew() -> None:
    tokenizer, model = endless_tokenizer(), make_generic("gpt-oss")
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer, options=GENERIC_ENGINE) as served:
        async with session(served, CORPUS[0]) as live:
            mark, ids = live.mark, ids_of(live)
            assert len(ids) > 16, "the window is shorter than the text"
            await live.generate(Until(4), GREEDY)
            live.commit(4)
            live.rollback(mark)
            again = await live.generate(Until(4), GREEDY)

    assert [token.id for token in again.tokens] == generate_ids(plain, ids, 4)


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

    with pytest.raises(ModelLoadError, match="gives other logits when it goes on with its own ca"):
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

    with pytest.raises(ModelLoadError, match="gives logits that are no numbers, also by itself"):
        prepare(model, make_tokenizer(), "damaged", options=GENERIC_ENGINE)
