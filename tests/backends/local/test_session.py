"""What sessions compute, and what they do not compute again."""

from itertools import pairwise

import pytest
from support.models import GREEDY, make_model, make_tokenizer, serving, session
from tokenizers import normalizers

from collab.errors import ContextOverflowError, EmptyPromptError, ModelCallError
from collab.proposals import Sampling, Until
from collab.testing import check_backend
from collab.units import WordUnit
from collab_backends.local.backend import LocalTorch
from collab_backends.local.model import LocalModel

pytestmark = pytest.mark.usefixtures("engine")

TOKENIZER = make_tokenizer()
PROMPT = "So the answer is"
PROMPT_IDS = TOKENIZER.encode(PROMPT, add_special_tokens=False)


def spent(model: LocalModel) -> tuple[int, int]:
    """Context tokens computed and tokens decoded since the engine started."""
    return model.engine.prefilled, model.engine.decoded


async def test_the_shipped_pair_keeps_to_the_contract() -> None:
    await check_backend(LocalTorch(model="lab/generator", threads=1))


async def test_what_was_decoded_is_replayed_and_committed_without_computing() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        first = await live.generate(Until(5), GREEDY)
        again = await live.generate(Until(3), GREEDY)
        live.commit(3)
        rest = await live.generate(Until(2), GREEDY)

        assert spent(model) == (len(PROMPT_IDS), 5)
        assert again.tokens == first.tokens[:3]
        assert rest.tokens == first.tokens[3:]
        assert (again.replayed, rest.replayed) == (5, 2)


async def test_looking_further_ahead_decodes_only_what_is_new() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        await live.generate(Until(5), GREEDY)
        await live.generate(Until(9), GREEDY)

        # The fifth token was decoded but not fed yet: it is the second call's prompt.
        assert spent(model) == (len(PROMPT_IDS) + 1, 9)


async def test_foreign_text_prefills_only_itself() -> None:
    text = " because 3 times 4"
    added = TOKENIZER.encode(text, add_special_tokens=False)

    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        await live.generate(Until(1), GREEDY)
        assert live.append(text) == len(added)
        await live.generate(Until(1), GREEDY)

        assert spent(model) == (len(PROMPT_IDS) + len(added), 2)


async def test_a_judgement_is_a_fork_that_prefills_only_the_question() -> None:
    question = "\nIs it A or B? ("
    asked = TOKENIZER.encode(question, add_special_tokens=False)

    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        before = await live.generate(Until(4), GREEDY)
        await live.judge(question, ("A", "B"))
        after = await live.generate(Until(4), GREEDY)

        assert after.tokens == before.tokens
        assert spent(model) == (len(PROMPT_IDS) + len(asked), 4 + 1)
        assert live.meter.completion_tokens == 5


async def test_going_back_feeds_one_token_again() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        mark = live.mark
        first = await live.generate(Until(4), GREEDY)
        live.commit(4)
        live.rollback(mark)
        again = await live.generate(Until(4), GREEDY)

        assert [t.id for t in again.tokens] == [t.id for t in first.tokens]
        assert spent(model) == (len(PROMPT_IDS) + 1, 8)


async def test_a_fork_prefills_nothing() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        await live.generate(Until(4), GREEDY)
        live.commit(4)
        async with live.fork() as twin:
            await twin.generate(Until(1), GREEDY)

        # only the fourth token, which nobody had fed yet
        assert spent(model) == (len(PROMPT_IDS) + 1, 5)


async def test_the_meter_counts_what_the_engine_counts() -> None:
    async with serving(make_model(), TOKENIZER, chunk_tokens=2) as model, session(model) as live:
        await live.generate(Until(5, WordUnit(), 2), GREEDY)
        live.append(" no")
        await live.judge(" A or B (", ("A", "B"))
        await live.score(" maybe so")
        await live.generate(Until(3), GREEDY)

        meter = live.meter
        assert meter.prompt_tokens - meter.cached_tokens == model.engine.prefilled
        assert meter.completion_tokens == model.engine.decoded
        assert meter.attempts == 4


async def test_the_end_of_the_text_is_decoded_once_and_is_no_token_of_the_proposal() -> None:
    tiny = make_model()
    async with serving(tiny, TOKENIZER) as model, session(model) as live:
        free = await live.generate(Until(8), GREEDY)
    tiny.generation_config.eos_token_id = [free.tokens[4].id, 1]
    first_end = next(n for n, t in enumerate(free.tokens) if t.id == free.tokens[4].id)

    async with serving(tiny, TOKENIZER) as model, session(model) as live:
        ended = await live.generate(Until(8), GREEDY)
        live.commit(len(ended.tokens))
        again = await live.generate(Until(8), GREEDY)

        assert (ended.tokens, ended.stop) == (free.tokens[:first_end], "eos")
        assert (again.tokens, again.stop) == ((), "eos")
        assert model.engine.decoded == first_end + 1


async def test_a_stop_string_that_spans_tokens_ends_the_text() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        async with session(model) as live:
            free = await live.generate(Until(12), GREEDY)
        first, second = next(
            (a.text, b.text)
            for a, b in pairwise(free.tokens[1:])
            if len(a.text) > 1 and len(b.text) > 1
        )
        middle = first[-1] + second[:1]
        async with session(model) as live:
            cut = await live.generate(Until(12, stop_strings=(middle,)), GREEDY)

    assert cut.stop == "stop_string"
    assert cut.text == free.text[: free.text.index(middle)]


async def test_a_full_context_ends_the_proposal() -> None:
    limit = len(PROMPT_IDS) + 3

    async with serving(make_model(), TOKENIZER, max_context_tokens=limit) as model:
        async with session(model) as live:
            proposal = await live.generate(Until(9), GREEDY)
            live.commit(len(proposal.tokens))
            nothing = await live.generate(Until(9), GREEDY)

    assert (len(proposal.tokens), proposal.stop) == (3, "context")
    assert (nothing.tokens, nothing.stop) == ((), "context")


async def test_a_prompt_beyond_the_context_is_refused_with_both_numbers() -> None:
    async with serving(make_model(), TOKENIZER, max_context_tokens=3) as model:
        with pytest.raises(
            ContextOverflowError, match=rf"prompt of {len(PROMPT_IDS)} tokens exceeds the 3 of"
        ):
            async with session(model):
                pass


async def test_labels_that_begin_alike_are_refused() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        with pytest.raises(ModelCallError, match="'A', 'A.' begin with the same token"):
            await live.judge("A or B? (", ("A", "A."))


async def test_committing_more_than_was_decoded_is_refused() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        await live.generate(Until(2), GREEDY)
        with pytest.raises(ValueError, match="3 tokens to commit, 2 were decoded"):
            live.commit(3)


async def test_what_is_no_mark_of_the_session_is_refused() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        with pytest.raises(ValueError, match="is no mark of this session"):
            live.rollback(object())


# --- sampling ---------------------------------------------------------------------------------

WARM = Sampling(temperature=1.0)


async def sample(model: LocalModel, seed: int, sampling: Sampling = WARM) -> list[int]:
    async with session(model, seed=seed) as live:
        return [token.id for token in (await live.generate(Until(12), sampling)).tokens]


async def test_a_seed_gives_one_text_and_another_seed_another() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        first, again, other = [await sample(model, seed) for seed in (1, 1, 2)]

    assert first == again != other


async def test_one_candidate_is_greedy() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        drawn = await sample(model, 1, Sampling(temperature=1.0, top_k=1))
        nucleus = await sample(model, 1, Sampling(temperature=1.0, top_p=1e-6))
        async with session(model) as live:
            greedy = [token.id for token in (await live.generate(Until(12), GREEDY)).tokens]

    assert drawn == nucleus == greedy


async def test_a_low_temperature_approaches_greedy() -> None:
    async with serving(make_model(), TOKENIZER) as model:
        cold = await sample(model, 1, Sampling(temperature=1e-3))
        async with session(model) as live:
            greedy = [token.id for token in (await live.generate(Until(12), GREEDY)).tokens]

    assert cold == greedy


async def test_a_question_that_does_not_fit_the_context_is_refused_before_the_pass() -> None:
    async with serving(make_model(), TOKENIZER, max_context_tokens=12) as model:
        async with session(model) as live:
            with pytest.raises(ContextOverflowError, match=r"exceed the 12 of 'tiny'"):
                await live.judge(" because" * 20, ("A", "B"))
            with pytest.raises(ContextOverflowError, match=r"exceed the 12 of 'tiny'"):
                await live.score(" because" * 20)
            await live.generate(Until(2), GREEDY)

        assert model.engine.decoded == 2


async def test_a_prompt_without_a_token_is_refused() -> None:
    silent = make_tokenizer()
    silent.backend_tokenizer.normalizer = normalizers.Replace("?", "")
    async with serving(make_model(), silent) as model:
        with pytest.raises(EmptyPromptError, match="has no token in the vocabulary of 'tiny'"):
            async with session(model, "??"):
                pass


async def test_what_lies_ahead_of_the_head_is_not_gone_back_to() -> None:
    async with serving(make_model(), TOKENIZER) as model, session(model) as live:
        start = live.mark
        await live.generate(Until(4), GREEDY)
        live.commit(4)
        ahead = live.mark
        live.rollback(start)

        with pytest.raises(ValueError, match="lies ahead of its head"):
            live.rollback(ahead)
        with pytest.raises(ValueError, match="-1 tokens to commit"):
            live.commit(-1)
        assert live.ids == tuple(PROMPT_IDS)
