"""Greedy output equals transformers' own generate, token for token."""

import copy
import random

import anyio
import pytest
import torch
from support.changes import change
from support.models import (
    ARCHITECTURES,
    CORPUS,
    GREEDY,
    generate_ids,
    make_model,
    make_tokenizer,
    serving,
    session,
)

from collab.proposals import Until
from collab.signals import Signals

pytestmark = pytest.mark.usefixtures("engine")

PROMPTS = ["a", "So the answer is", CORPUS[0], CORPUS[1] + CORPUS[2]]
NEW = 48


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("chunk_tokens", [7, 512])
async def test_texts_of_unequal_length_in_one_batch_equal_generate(
    architecture: str, chunk_tokens: int
) -> None:
    tokenizer, model = make_tokenizer(), make_model(architecture)
    prompts = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in PROMPTS]
    expected = [generate_ids(model, prompt, NEW) for prompt in prompts]
    written: dict[int, list[int]] = {}

    async with serving(model, tokenizer, chunk_tokens=chunk_tokens) as served:

        async def write(number: int) -> None:
            async with session(served, PROMPTS[number]) as live:
                proposal = await live.generate(Until(NEW), GREEDY)
                written[number] = [token.id for token in proposal.tokens]

        async with anyio.create_task_group() as group:
            for number in range(len(PROMPTS)):
                group.start_soon(write, number)

    assert [written[number] for number in range(len(PROMPTS))] == expected
    assert len(set(expected[-1])) > 3, "the oracle's text is a loop; it would not show a mistake"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3"])
@pytest.mark.parametrize("seed", range(4))
async def test_after_any_operations_the_text_goes_on_as_if_nothing_was_cached(
    architecture: str, seed: int
) -> None:
    tokenizer, model = make_tokenizer(), make_model(architecture, seed=seed + 1)
    plain = copy.deepcopy(model)

    # With memory for hardly two of the three texts, entries are dropped and computed again.
    async with serving(model, tokenizer, chunk_tokens=5, cache_tokens=160) as served:

        async def live_on(rng: random.Random) -> None:
            async with session(served, rng.choice(CORPUS)) as live:
                for _ in range(6):
                    await change(live, rng)
                    proposal = await live.generate(Until(6), GREEDY)
                    expected = generate_ids(plain, list(live.ids), 6)
                    assert [token.id for token in proposal.tokens] == expected

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(live_on, random.Random(f"{seed} {number}"))


async def test_a_fork_goes_on_as_its_parent_would() -> None:
    tokenizer, model = make_tokenizer(), make_model()

    async with serving(model, tokenizer) as served, session(served) as live:
        mine = await live.generate(Until(8), GREEDY)
        live.commit(3)
        async with live.fork() as twin:
            theirs = await twin.generate(Until(5), GREEDY)

    assert theirs.tokens == mine.tokens[3:]


async def test_signals_equal_those_of_a_plain_forward_pass() -> None:
    tokenizer, model = make_tokenizer(), make_model()
    plain = copy.deepcopy(model)

    async with serving(model, tokenizer) as served:
        async with session(served, signals=Signals(entropy_top_k=5)) as live:
            ids = list(live.ids)
            proposal = await live.generate(Until(6), GREEDY)

    written = [token.id for token in proposal.tokens]
    with torch.inference_mode():
        logits = plain(torch.tensor([ids + written])).logits[0, len(ids) - 1 : -1]
    logprobs = torch.log_softmax(logits, dim=-1)
    for row, token in zip(logprobs, proposal.tokens, strict=True):
        top = row.topk(5).values
        head = top - torch.logsumexp(top, dim=0)
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)
        assert token.margin == pytest.approx(float(top[0] - top[1]), abs=1e-4)
        assert token.entropy_nats == pytest.approx(float(-(head.exp() * head).sum()), abs=1e-4)


@pytest.mark.parametrize("chunk_tokens", [3, 512])
async def test_a_score_equals_the_log_probabilities_of_a_plain_forward_pass(
    chunk_tokens: int,
) -> None:
    tokenizer, model = make_tokenizer(), make_model()
    plain = copy.deepcopy(model)
    text = " because 3 times 4 is 12."

    async with serving(model, tokenizer, chunk_tokens=chunk_tokens) as served:
        async with session(served) as live:
            ids = list(live.ids)
            scored = await live.score(text)

    added = [token.id for token in scored]
    with torch.inference_mode():
        logits = plain(torch.tensor([ids + added])).logits[0, len(ids) - 1 : -1]
    expected = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(added)[:, None])[:, 0]
    assert "".join(token.text for token in scored) == text
    assert [token.logprob for token in scored] == pytest.approx(expected.tolist(), abs=1e-4)


async def test_a_judgement_equals_the_probabilities_of_a_plain_forward_pass() -> None:
    tokenizer, model = make_tokenizer(), make_model()
    plain = copy.deepcopy(model)
    question = "\nIs it A or B? ("

    async with serving(model, tokenizer) as served, session(served) as live:
        answer = await live.judge(question, ("A", "B"))

    ids = tokenizer.encode("So the answer is" + question, add_special_tokens=False)
    with torch.inference_mode():
        expected = torch.softmax(plain(torch.tensor([ids])).logits[0, -1], dim=-1)
    for label in "AB":
        (label_id,) = tokenizer.encode(label, add_special_tokens=False)
        assert answer.labels[label] == pytest.approx(float(expected[label_id]), abs=1e-5)
    assert answer.likeliest == tokenizer.decode([int(expected.argmax())])
