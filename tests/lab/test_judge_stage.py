"""The self-judge's second stage: pairs of training problems only, both orders, the same by seed."""

import random
from typing import Any

import pytest
from support.examples import load_lab

from collab_backends.lab import LAB_FOLDER

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

task = load_lab("task")
for sibling in ("choices", "tokenizer", "stream", "model", "train"):
    load_lab(sibling)
judge_pairs = load_lab("judge_pairs")
train_judge = load_lab("train_judge")

CUE = "\n(A){a}\n(B){b}\n("


def models() -> Any:
    generator, mentor = (
        transformers.AutoModelForCausalLM.from_pretrained(
            LAB_FOLDER / name, dtype=torch.float32
        ).eval()
        for name in ("generator", "mentor")
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(LAB_FOLDER / "generator")
    return judge_pairs.Models(generator, mentor, tokenizer)


@pytest.fixture(scope="module")
def pairs() -> list[Any]:
    rng = random.Random(0)
    torch.manual_seed(0)
    problems = judge_pairs.fresh_problems(rng, 60, "train", ())
    return list(judge_pairs.collect_pairs(models(), problems, rng))


def test_no_problem_is_drawn_that_is_held_out_or_left_out() -> None:
    drawn = judge_pairs.fresh_problems(random.Random(0), 40, "train", ())
    left_out = {task.canonical_question(one.prompt) for one in drawn}

    others = judge_pairs.fresh_problems(random.Random(0), 40, "train", left_out)

    assert not any(task.is_held_out(one.prompt) for one in [*drawn, *others])
    assert left_out.isdisjoint(task.canonical_question(one.prompt) for one in others)


def test_a_pair_stands_in_a_training_problem_at_the_start_of_a_word(pairs: list[Any]) -> None:
    tokenizer = models().tokenizer

    assert len(pairs) >= 5
    for pair in pairs:
        prompt = pair.text.split("\n\n")[0] + "\n\n"
        assert not task.is_held_out(prompt)
        assert pair.right != pair.wrong
        for segment in (pair.right, pair.wrong):
            assert len(tokenizer(segment)["input_ids"]) <= judge_pairs.SEGMENT_TOKENS
            assert segment.startswith((" ", "\n")) or pair.text == prompt


def test_the_right_segment_leads_the_generator_to_the_right_answer(pairs: list[Any]) -> None:
    both, tokenizer = models(), models().tokenizer
    for pair in pairs[:3]:
        problem = task.parse_problem(pair.text.split("\n\n")[0] + "\n\n")
        ids = tokenizer(pair.text + pair.right, return_tensors="pt")["input_ids"]

        answer = tokenizer.decode(both.generator.generate(ids, max_new_tokens=200)[0])

        assert task.boxed_answer(answer) == problem.answer


def test_a_choice_is_asked_in_both_orders() -> None:
    pair = judge_pairs.Pair("q", " {right}", " wrong", is_mentors=True)

    first, second = train_judge.choice_pair(pair, CUE)

    assert first.text == "q\n(A) {right}\n(B) wrong\n(A"
    assert second.text == "q\n(A) wrong\n(B) {right}\n(B"
    assert [one.is_supervised for one in first.segments] == [False, True]


def test_the_same_seed_gives_the_same_weights(pairs: list[Any]) -> None:
    stage = train_judge.Stage(
        max_tokens=4_000,
        is_balanced=False,
        synthetic_share=0.5,
        choice_weight=0.5,
        rate=1e-3,
        cue=CUE,
        seed=0,
    )
    trained = []
    for _ in range(2):
        both = models()
        train_judge.train(both.generator, both.tokenizer, pairs, stage)
        trained.append(both.generator.state_dict())

    former = models().generator.state_dict()
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in former)
    assert not all(torch.equal(trained[0][name], former[name]) for name in former)
