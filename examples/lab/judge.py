"""Measure the A/B self-judge on synthetic choices made from held-out problems."""

import random
from collections.abc import Sequence

import torch
from choices import choice_documents
from task import parse_problem
from transformers import PreTrainedModel, PreTrainedTokenizerBase

SEED = 99


@torch.inference_mode()
def judge_table(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]
) -> str:
    """Return how often the judge finds the right option: by order, and with both orders averaged.

    One choice is made from each prompt and asked in both orders; only the probabilities of the
    letters `A` and `B` are compared.
    """
    rng = random.Random(SEED)
    when_a: list[float] = []
    when_b: list[float] = []
    for prompt in prompts:
        right_first, right_second = choice_documents(parse_problem(prompt), rng)
        when_a.append(_log_odds_of_a(model, tokenizer, right_first.segments[0].text))
        when_b.append(_log_odds_of_a(model, tokenizer, right_second.segments[0].text))
    count = len(prompts)
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
