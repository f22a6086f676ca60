"""Give the lab's generator a second stage: choices from its own branches, and what it knew before.

Half of the loss are choices, both orders of each in one batch, so that a preference for one letter
earns nothing. The other half holds the model to what it was: on solving documents its distribution
is drawn to that of the generator it began as, so that it solves neither more nor less.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from choices import choice_documents
from judge_pairs import Pair, read_pairs
from model import save_folder
from stream import MAX_OPERATIONS, Batch, Mixture, batches_of, draw_pool
from task import Document, Segment, sample_problem
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from train import LOG_EVERY_STEPS, learning_rate_scale
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3ForCausalLM,
)

from collab_backends.lab import LAB_FOLDER
from collab_policies.self_judge import CUE

POOL_CHOICES = 128
CLIP_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What decides the result, besides the pairs and the model that is begun with.

    Attributes:
        max_tokens: Length of the stage, in tokens of choices.
        is_balanced: Draw the mentor's segment as the right one half of the time, however often it
            is among the pairs, so that telling who wrote a segment earns nothing.
        synthetic_share: Share of fresh synthetic choices among all.
        choice_weight: Weight of the choices in the loss; the rest holds the model to what it was.
        rate: Peak learning rate of AdamW.
        cue: The question.
        seed: Of the order and of the synthetic choices.
    """

    max_tokens: int
    is_balanced: bool
    synthetic_share: float
    choice_weight: float
    rate: float
    cue: str
    seed: int


def main() -> None:
    """Train as the command line asks and write the model's folder."""
    args = _parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.generator)
    model = AutoModelForCausalLM.from_pretrained(args.generator, dtype=torch.float32)
    stage = Stage(
        max_tokens=args.max_tokens,
        is_balanced=args.balanced,
        synthetic_share=args.synthetic_share,
        choice_weight=args.choice_weight,
        rate=args.rate,
        cue=args.cue,
        seed=args.seed,
    )
    pairs = read_pairs(args.pairs)
    print(f"{len(pairs)} pairs, {stage}", flush=True)
    train(model, tokenizer, pairs, stage)
    save_folder(model, tokenizer, args.out)
    print(f"wrote {args.out}", flush=True)


def train(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair], stage: Stage
) -> None:
    """Train in place until the stage's tokens are used up."""
    former = deepcopy(model).eval().requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, weight_decay=0.0)
    choices = _choice_batches(tokenizer, pairs, stage)
    solved = _solving_batches(tokenizer, stage.seed)
    tokens = step = 0
    logged = [0.0, 0.0]
    while tokens < stage.max_tokens:
        scale = learning_rate_scale(step, tokens / stage.max_tokens)
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * scale
        batch = next(choices)
        losses = _choice_loss(model, batch), _drift(model, former, next(solved))
        loss = stage.choice_weight * losses[0] + (1 - stage.choice_weight) * losses[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad()
        tokens += batch.token_count
        step += 1
        logged = [sum(pair) for pair in zip(logged, (one.item() for one in losses), strict=True)]
        if step % LOG_EVERY_STEPS == 0:
            choice, drift = (one / LOG_EVERY_STEPS for one in logged)
            print(
                f"step {step} tokens {tokens:,} choices {choice:.4f} drift {drift:.5f}", flush=True
            )
            logged = [0.0, 0.0]


def choice_pair(pair: Pair, cue: str) -> tuple[Document, Document]:
    """Return a pair under the judge's cue in both orders; only the letter is supervised."""
    right_first, wrong_first = (
        Segment(pair.text + cue.format(a=a, b=b), is_supervised=False)
        for a, b in ((pair.right, pair.wrong), (pair.wrong, pair.right))
    )
    return (
        Document((right_first, Segment("A")), is_finished=False),
        Document((wrong_first, Segment("B")), is_finished=False),
    )


def _choice_batches(
    tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair], stage: Stage
) -> Iterator[Batch]:
    rng = random.Random(stage.seed)
    sides = [[one for one in pairs if one.is_mentors is side] for side in (True, False)]
    while True:
        groups = []
        for _ in range(POOL_CHOICES):
            if rng.random() < stage.synthetic_share:
                problem = sample_problem(rng, rng.randint(1, MAX_OPERATIONS), split="train")
                groups.append(choice_documents(problem, rng, stage.cue))
            else:
                drawn = rng.choice(rng.choice(sides) if stage.is_balanced else pairs)
                groups.append(choice_pair(drawn, stage.cue))
        yield from batches_of(groups, rng, tokenizer)


def _solving_batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    rng = random.Random(seed + 1)
    while True:
        yield from draw_pool(rng, tokenizer, Mixture(MAX_OPERATIONS, choice_share=0.0))


def _choice_loss(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the letters, in nats."""
    counts = batch.labels >= 0
    return cross_entropy(_logits(model, batch, counts), batch.labels[counts])


def _drift(model: Qwen3ForCausalLM, former: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean divergence from what the model was, in nats per token of a solution."""
    counts = batch.labels >= 0
    with torch.no_grad():
        target = log_softmax(_logits(former, batch, counts), dim=-1)  # (N, V)
    ours = log_softmax(_logits(model, batch, counts), dim=-1)  # (N, V)
    return kl_div(ours, target, reduction="batchmean", log_target=True)


def _logits(model: Qwen3ForCausalLM, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state  # (B, T, D)
    return model.lm_head(hidden[counts]).float()  # (N, V)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True, help="a file of judge_pairs.py")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--generator", type=Path, default=LAB_FOLDER / "generator")
    parser.add_argument("--max-tokens", type=int, default=1_000_000)
    parser.add_argument(
        "--balanced", action="store_true", help="either author is right equally often"
    )
    parser.add_argument("--synthetic-share", type=float, default=0.0)
    parser.add_argument("--choice-weight", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--cue", default=CUE, help="the question, with {a} and {b}")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
