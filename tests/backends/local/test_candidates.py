"""The likeliest tokens at each position, from writing and from scoring, over every engine."""

import copy
import math

import pytest
import torch
import transformers as tf
from support.generic_models import GENERIC_ENGINE, endless_tokenizer, make_generic
from support.models import CORPUS, GREEDY, make_model, make_tokenizer, serving, session

from collab.proposals import Candidate, Sampling, Token, Until
from collab.signals import Signals
from collab_backends.local.paged.reading import candidates_in, decode
from collab_backends.local.signals import ranked
from collab_backends.tokenizing.codec import TextCodec

TOKENIZER = make_tokenizer()
PROMPT = CORPUS[0]
FIVE = Signals(top_k=5)


def expected_tops(
    model: tf.PreTrainedModel, ids: list[int], new: int
) -> list[list[tuple[int, float]]]:
    """Return the five likeliest tokens at each of the last `new` places of a text."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    found = torch.log_softmax(logits[-new - 1 : -1].float(), dim=-1).topk(5)
    return [
        list(zip(row_ids, values, strict=True))
        for row_ids, values in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def assert_tops(tokens: tuple[Token, ...], expected: list[list[tuple[int, float]]]) -> None:
    for token, pairs in zip(tokens, expected, strict=True):
        assert [one.id for one in token.top] == [one for one, _ in pairs]
        assert [one.logprob for one in token.top] == pytest.approx(
            [value for _, value in pairs], abs=1e-3
        )


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, top_k=3)])
async def test_written_tokens_name_the_likeliest_at_their_places(sampling: Sampling) -> None:
    model = make_model()
    plain = copy.deepcopy(model)
    async with serving(model, TOKENIZER) as served:
        async with session(served, PROMPT, signals=FIVE) as live:
            tokens = (await live.generate(Until(8), sampling)).tokens
            live.commit(8)
            ids = list(live.ids)

    assert_tops(tokens, expected_tops(plain, ids, 8))
    if sampling.is_greedy:
        assert [token.top[0].id for token in tokens] == [token.id for token in tokens]
        assert [token.top[0].logprob for token in tokens] == [token.logprob for token in tokens]


@pytest.mark.usefixtures("engine")
async def test_scored_tokens_name_the_likeliest_at_their_places() -> None:
    model = make_model()
    plain = copy.deepcopy(model)
    async with serving(model, TOKENIZER, chunk_tokens=3) as served:
        async with session(served, PROMPT, signals=FIVE) as live:
            tokens = await live.score("So the answer is 12")
            live.append("So the answer is 12")
            ids = list(live.ids)

    assert_tops(tokens, expected_tops(plain, ids, len(tokens)))


async def test_the_generic_engine_names_them_too() -> None:
    model = make_generic("mamba")
    plain = copy.deepcopy(model)
    async with serving(model, endless_tokenizer(), options=GENERIC_ENGINE) as served:
        async with session(served, PROMPT, signals=FIVE) as live:
            tokens = (await live.generate(Until(4), GREEDY)).tokens
            live.commit(4)
            ids = list(live.ids)

    assert_tops(tokens, expected_tops(plain, ids, 4))


@pytest.mark.usefixtures("engine")
async def test_texts_that_want_different_numbers_write_side_by_side() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        async with (
            session(model, PROMPT, signals=FIVE) as five,
            session(model, PROMPT, signals=Signals(entropy_top_k=4, top_k=2)) as two,
            session(model, PROMPT) as none,
        ):
            found = [await live.generate(Until(4), GREEDY) for live in (five, two, none)]

    for many, few, no in zip(*(one.tokens for one in found), strict=True):
        assert (len(many.top), no.top) == (5, ())
        assert [one.id for one in few.top] == [one.id for one in many.top[:2]]
        assert few.entropy_nats is not None


async def test_more_than_the_vocabulary_is_all_of_it() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model, PROMPT, signals=Signals(top_k=10_000)) as live:
            (token,) = (await live.generate(Until(1), GREEDY)).tokens

    assert len(token.top) == 400
    assert math.fsum(math.exp(one.logprob) for one in token.top) == pytest.approx(1)


def test_equals_are_ranked_by_their_ids_and_impossible_tokens_left_out() -> None:
    assert ranked([7, 3, 9], [1.0, 1.0, -math.inf], 2.0) == [(3, -1.0), (7, -1.0)]


def test_a_decoding_step_gives_each_text_as_many_as_it_wants() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]])
    log_sum = math.log(1 + math.exp(3) + math.exp(1) + math.exp(2))

    (numbers,) = decode(logits, (2,), None, candidates=3).tolist()

    assert len(numbers) == 5 + 1 + 2 * 3
    found = candidates_in(numbers, (2,), 2)
    assert [one for one, _ in found] == [1, 3]
    assert [value for _, value in found] == pytest.approx([3 - log_sum, 2 - log_sum])


async def test_candidates_have_their_texts_and_the_end_has_none() -> None:
    codec = TextCodec(TOKENIZER, "tiny")
    (the,) = TOKENIZER.encode(" the", add_special_tokens=False)

    async with serving(make_model(), TOKENIZER) as model:
        seat = model.seat
        end = next(iter(seat.end_ids))
        found = seat.candidates([(the, -0.5), (end, -1.5)])

    assert codec.piece(the) == " the"
    assert found == (Candidate(the, " the", -0.5), Candidate(end, "", -1.5))
