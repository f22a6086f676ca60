"""Measure the A/B self-judge: on choices made up from problems, and on branches that were met."""

import random
from collections.abc import Sequence

import torch
from choices import choice_documents
from judge_pairs import Pair
from task import parse_problem
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from collab_policies.self_judge import CUE

SEED = 99


@torch.inference_mode()
def judge_table(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    cue: str = CUE,
) -> str:
    """Return how often the judge finds the right option: by order, and with both orders averaged.

    One choice is made from each prompt and asked in both orders; only the probabilities of the
    letters `A` and `B` are compared.
    """
    rng = random.Random(SEED)
    choices = [choice_documents(parse_problem(prompt), rng, cue) for prompt in prompts]
    questions = [(one.segments[0].text, other.segments[0].text) for one, other in choices]
    return _table(model, tokenizer, questions)


@torch.inference_mode()
def pairs_table(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    cue: str = CUE,
) -> str:
    """Return the same of branches that were met: of all, and by whose segment is the right one."""
    parts = {
        "all": pairs,
        "the mentor's is right": [one for one in pairs if one.is_mentors],
        "the generator's is right": [one for one in pairs if not one.is_mentors],
    }
    return "\n\n".join(
        f"{title}\n{_table(model, tokenizer, _questions(part, cue))}"
        for title, part in parts.items()
        if part
    )


def _questions(pairs: Sequence[Pair], cue: str) -> list[tuple[str, str]]:
    return [
        (
            pair.text + cue.format(a=pair.right, b=pair.wrong),
            pair.text + cue.format(a=pair.wrong, b=pair.right),
        )
        for pair in pairs
    ]


def _table(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[tuple[str, str]],
) -> str:
    """Return the figures of questions in pairs: the right option is (A), then it is (B)."""
    when_a = [_log_odds_of_a(model, tokenizer, question) for question, _ in questions]
    when_b = [_log_odds_of_a(model, tokenizer, question) for _, question in questions]
    count = len(questions)
    averaged = sum(a > b for a, b in zip(when_a, when_b, strict=True))
    says_a = sum(odds > 0 for odds in [*when_a, *when_b])
    return "\n".join(
        [
            f"choices: {count}, each in both orders",
            f"right when the right option is (A): {sum(odds > 0 for odds in when_a) / count:.3f}",
            f"right when the right option is (B): {sum(odds <= 0 for odds in when_b) / count:.3f}",
            f"says (A): {says_a / (2 * count):.3f}",
            f"right with both orders averaged: {averaged} of {count}, {averaged / count:.3f}",
        ]
    )


def _log_odds_of_a(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: str
) -> float:
    ids = tokenizer(question, return_tensors="pt")["input_ids"].to(model.device)  # (1, T)
    a, b = (tokenizer.convert_tokens_to_ids(letter) for letter in "AB")
    logits = model(input_ids=ids).logits[0, -1].float()  # (V,)
    return float(logits[a] - logits[b])
