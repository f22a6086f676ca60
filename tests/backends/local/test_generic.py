"""The engine `generic`: one text after another, with the model's own attention and cache."""

import copy
import random

import anyio
import pytest
import torch
import transformers as tf
from support.changes import change
from support.generic_models import (
    GENERIC,
    GENERIC_ENGINE,
    endless_tokenizer,
    ids_of,
    make_generic,
    room_for,
)
from support.models import CORPUS, GREEDY, generate_ids, serving, session

from collab.proposals import Until
from collab.signals import Observation, Signals, Steering

PROMPTS = ["a", "So the answer is", CORPUS[0], CORPUS[1] + CORPUS[2]]
QUESTION = "\nIs it A or B? ("


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
