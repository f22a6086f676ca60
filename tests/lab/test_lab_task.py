"""The lab's task: right arithmetic, a split that holds, tokenizers that round-trip."""

import json
import random
import re
from collections import Counter
from itertools import chain
from typing import Any

import pytest
from support.examples import load_lab

from collab_backends.lab import LAB_FOLDER
from collab_policies.self_judge import CUE

pytest.importorskip("torch")
pytest.importorskip("transformers")
Tokenizer = pytest.importorskip("tokenizers").Tokenizer

OPTIONS = re.compile(
    re.escape(CUE).replace(r"\{a\}", "(.*)").replace(r"\{b\}", "(.*)") + "$", re.DOTALL
)
EQUATION = re.compile(r"([a-z]) = ([a-z]) ([-+*]) (\d) = (\d) [-+*] \d = (\d)")


task = load_lab("task")
choices = load_lab("choices")
grading = load_lab("grading")
tokenizer = load_lab("tokenizer")
stream = load_lab("stream")


def recompute(sign: str, left: int, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[sign] % 10


def sampled_problems(count: int, split: str) -> list[Any]:
    rng = random.Random(5)
    return [task.sample_problem(rng, 1 + number % 6, split=split) for number in range(count)]


def test_a_problem_is_worked_out_modulo_ten() -> None:
    problem = task.parse_problem("Mod 10: s = 3, z = s * 9, y = z - 8. What is y?\n\n")

    # 3 * 9 = 27, which is 7; 7 - 8 = -1, which is 9.
    assert problem.values == {"s": 3, "z": 7, "y": 9}
    assert problem.answer == "9"


def test_a_text_that_is_no_question_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not a prompt of the lab: 'Mod 10: s = 3\.'"):
        task.parse_problem("Mod 10: s = 3.")


def test_a_prompt_parses_back_to_its_problem() -> None:
    for problem in sampled_problems(200, "train"):
        assert task.parse_problem(problem.prompt) == problem


def test_every_supervised_equation_of_a_trace_is_right() -> None:
    rng = random.Random(6)

    for problem in sampled_problems(300, "train"):
        # A masked error leaves a gap in its own equation, which then does not match.
        document = task.solve_document(problem, rng)
        trace = "".join(
            segment.text if segment.is_supervised else "?" for segment in document.segments
        )
        for target, source, sign, constant, left, result in EQUATION.findall(trace):
            assert int(left) == problem.values[source]
            assert int(result) == problem.values[target]
            assert int(result) == recompute(sign, int(left), int(constant))
        assert trace.endswith(f"\\boxed{{{problem.answer}}}.")


def test_every_planted_error_is_masked_and_corrected_at_once() -> None:
    rng = random.Random(7)
    errors = 0

    for problem in sampled_problems(300, "train"):
        segments = task.solve_document(problem, rng).segments
        for at in range(1, len(segments)):
            if segments[at].is_supervised:
                continue
            errors += 1
            wrong = segments[at].text[-1]
            target = segments[at - 1].text.split()[1]
            right = problem.values[target]
            assert int(wrong) != right
            assert segments[at + 1].text.startswith(".\n\nWait, check ")
            assert segments[at + 1].text.endswith(f", not {wrong}. So {target} = {right}.\n\n")
    assert errors > 50


def test_the_split_ignores_the_names_of_variables() -> None:
    prompt = "Mod 10: s = 3, z = s * 9, y = z - 8. What is y?\n\n"
    renamed = "Mod 10: a = 3, s = a * 9, z = s - 8. What is z?\n\n"

    assert task.canonical_question(prompt) == task.canonical_question(renamed)
    assert "v0 = 3, v1 = v0 * 9, v2 = v1 - 8. What is v2?" in task.canonical_question(prompt)


def test_one_question_in_sixteen_is_held_out() -> None:
    rng = random.Random(8)
    prompts = [task._sample_any_problem(rng, 4).prompt for _ in range(4000)]

    share = sum(task.is_held_out(prompt) for prompt in prompts) / len(prompts)

    # 1 / 16 = 0.0625; four standard errors of 4,000 draws are 0.0153.
    assert abs(share - 1 / 16) < 0.0153


def test_no_training_batch_holds_a_held_out_question() -> None:
    lm_tokenizer = tokenizer.train_tokenizer("a", trained_texts())
    mixture = stream.Mixture(max_operations=6, choice_share=0.5)

    batches = stream.draw_pool(random.Random(9), lm_tokenizer, mixture)

    documents = [lm_tokenizer.decode(row) for batch in batches for row in batch.ids]
    questions = [document.partition("\n\n")[0] + "\n\n" for document in documents]
    assert len(questions) >= 256
    assert all(task.parse_problem(question).operations for question in questions)
    assert not any(task.is_held_out(question) for question in questions)


def test_a_choice_is_asked_in_both_orders_with_the_right_option_named() -> None:
    rng = random.Random(10)

    for problem in sampled_problems(100, "train"):
        (question, letter), (swapped_question, swapped_letter) = (
            [segment.text for segment in document.segments]
            for document in choices.choice_documents(problem, rng)
        )
        found = OPTIONS.search(question)
        swapped = OPTIONS.search(swapped_question)
        assert found is not None
        assert swapped is not None
        assert found.groups() == swapped.groups()[::-1]
        assert (letter, swapped_letter) == ("A", "B")
        before = question.partition(CUE.partition("{a}")[0])[0]
        steps = (before + found[1]).removeprefix(problem.prompt)
        assert all(
            int(result) == problem.values[target]
            for target, _, _, _, _, result in EQUATION.findall(steps)
        )


def trained_texts() -> list[str]:
    return [text for text, _ in zip(stream.tokenizer_texts(seed=0), range(300), strict=False)]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_tokenizer_round_trips(name: str) -> None:
    texts = [*trained_texts(), "Größe 42\n\n\ttabs  and\nlines"]

    lm_tokenizer = tokenizer.train_tokenizer(name, texts[:-1])

    assert [lm_tokenizer.decode(lm_tokenizer.encode(text)) for text in texts] == texts


@pytest.mark.parametrize("name", ["a", "b"])
def test_segments_tokenise_like_the_whole_document(name: str) -> None:
    lm_tokenizer = tokenizer.train_tokenizer(name, trained_texts())
    rng = random.Random(11)

    for problem in sampled_problems(60, "train"):
        for document in (
            task.solve_document(problem, rng),
            *choices.choice_documents(problem, rng),
        ):
            pieces = [lm_tokenizer.encode(segment.text) for segment in document.segments]
            assert list(chain(*pieces)) == lm_tokenizer.encode(document.text)


def test_the_tokenizers_differ_on_digits_and_blank_lines() -> None:
    a, b = (tokenizer.train_tokenizer(name, trained_texts()) for name in "ab")

    assert a.tokenize("10\n\n") == ["1", "0", "ĊĊ"]
    assert b.tokenize("10\n\n") == ["10", "Ċ", "Ċ"]


def shipped_problems() -> list[dict[str, str]]:
    lines = (LAB_FOLDER / "problems.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_shipped_problems_are_held_out_and_rightly_answered() -> None:
    for shipped in shipped_problems():
        assert task.is_held_out(shipped["prompt"])
        assert task.parse_problem(shipped["prompt"]).answer == shipped["answer"]


def test_the_shipped_problems_are_distinct_and_evenly_hard() -> None:
    shipped = shipped_problems()

    assert [one["id"] for one in shipped] == [f"lab-{number:04d}" for number in range(1, 401)]
    assert len({task.canonical_question(one["prompt"]) for one in shipped}) == 400
    lengths = Counter(len(task.parse_problem(one["prompt"]).operations) for one in shipped)
    assert lengths == {2: 80, 3: 80, 4: 80, 5: 80, 6: 80}


@pytest.mark.parametrize("folder", ["generator", "mentor", "mentor-b"])
def test_a_shipped_tokenizer_fits_its_model_and_round_trips(folder: str) -> None:
    lm_tokenizer = Tokenizer.from_file(str(LAB_FOLDER / folder / "tokenizer.json"))
    config = json.loads((LAB_FOLDER / folder / "config.json").read_text("utf-8"))
    generation = json.loads((LAB_FOLDER / folder / "generation_config.json").read_text("utf-8"))

    assert config["vocab_size"] == lm_tokenizer.get_vocab_size()
    assert generation["eos_token_id"] == lm_tokenizer.token_to_id("<eos>")
    for shipped in shipped_problems():
        assert lm_tokenizer.decode(lm_tokenizer.encode(shipped["prompt"]).ids) == shipped["prompt"]


def test_generator_and_mentor_share_their_tokenizer_and_mentor_b_does_not() -> None:
    generator, mentor, mentor_b = (
        (LAB_FOLDER / folder / "tokenizer.json").read_bytes()
        for folder in ("generator", "mentor", "mentor-b")
    )

    assert generator == mentor
    assert generator != mentor_b


def test_a_step_is_graded_by_value_and_exactly() -> None:
    problem = task.parse_problem("Mod 10: s = 3, z = s * 9, y = z - 8. What is y?\n\n")

    exact = grading.grade_step(problem, "So z = s * 9 = 3 * 9 = 7.")
    misnamed = grading.grade_step(problem, "So z = y * 9 = 3 * 9 = 7.")
    wrong = grading.grade_step(problem, "So z = s * 9 = 3 * 9 = 8.")

    assert (exact.has_right_value, exact.is_exact) == (True, True)
    assert (misnamed.has_right_value, misnamed.is_exact) == (True, False)
    assert (wrong.has_right_value, wrong.is_exact) == (False, False)
    assert grading.grade_step(problem, "Now find z.") is None


def test_a_corrected_step_is_no_error_of_the_trace() -> None:
    problem = task.parse_problem("Mod 10: s = 3, z = s * 9. What is z?\n\n")
    slip = "So z = s * 9 = 3 * 9 = 8.\n\n"
    check = "Wait, check z = s * 9 = 3 * 9 = 7, not 8. So z = 7.\n\n"
    answer = "The answer is \\boxed{7}."

    assert grading.trace_has_step_error(problem, slip + answer)
    assert not grading.trace_has_step_error(problem, slip + check + answer)
