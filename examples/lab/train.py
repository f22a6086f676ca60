"""Train the lab's generator or mentor from scratch and write its model folder."""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from model import Size, build_model, save_folder
from stream import MAX_OPERATIONS, Batch, Mixture, draw_pool, tokenizer_texts
from tokenizer import train_tokenizer
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

TOKENIZER_SEED = 0
CURRICULUM_SHARE = 0.12
CURRICULUM_OPERATIONS = 3
WARM_UP_STEPS = 60
DECAY_SHARE = 0.4
FINAL_RATE = 0.02
MUON_RATE = 0.02
ADAMW_RATE = 3e-3
CLIP_NORM = 1.0
LOG_EVERY_STEPS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the weights of one model, besides its tokenizer and the libraries' versions.

    Attributes:
        size: The shape of the model.
        schedule_tokens: Tokens over which the curriculum and the learning rates are laid out.
        max_tokens: Tokens after which training stops, at the end of the schedule or before.
        choice_share: Share of choice documents among all.
        seed: Seed of the weights and of the documents.
        check_share: How often a right step is checked, over and over; `None` for now and then.
    """

    size: Size
    schedule_tokens: int
    max_tokens: int
    choice_share: float
    seed: int
    check_share: float | None = None


GENERATOR_SIZE = Size(hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate=192)
MENTOR_SIZE = Size(hidden=96, layers=4, heads=4, kv_heads=4, head_dim=24, intermediate=256)
PLANS = {
    # Stopped where it still errs, on purpose: at the end of its schedule it solves the task.
    "generator": Plan(GENERATOR_SIZE, 6_000_000, 2_625_000, choice_share=0.12, seed=3),
    "mentor": Plan(MENTOR_SIZE, 5_000_000, 5_000_000, choice_share=0.0, seed=1),
}


def main() -> None:
    """Train one model as the command line asks and write its folder."""
    args = _parse_arguments()
    torch.set_num_threads(args.threads)
    given = {
        name: getattr(args, name)
        for name in ("schedule_tokens", "max_tokens", "seed", "check_share")
    }
    plan = replace(
        PLANS[args.role], **{name: value for name, value in given.items() if value is not None}
    )
    tokenizer = train_tokenizer(args.tokenizer, tokenizer_texts(TOKENIZER_SEED))
    torch.manual_seed(plan.seed)
    model = build_model(plan.size, tokenizer).to(args.device)
    print(
        f"{args.role}: {model.num_parameters():,} parameters, vocabulary {len(tokenizer)}, {plan}",
        flush=True,
    )
    next_checkpoint = args.checkpoint_tokens
    for tokens in train(model, tokenizer, plan):
        if next_checkpoint and next_checkpoint <= tokens < plan.max_tokens:
            save_folder(
                model, tokenizer, args.out.with_name(f"{args.out.name}-{next_checkpoint:08d}")
            )
            next_checkpoint += args.checkpoint_tokens
    save_folder(model, tokenizer, args.out)
    print(f"wrote {args.out}", flush=True)


def train(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Iterator[int]:
    """Train in place and yield the tokens seen after every step, until they reach the plan's."""
    optimizers = _optimizers(model)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    batches = _batches(tokenizer, plan)
    tokens, step, logged_loss = 0, 0, 0.0
    while tokens < plan.max_tokens:
        scale = learning_rate_scale(step, tokens / plan.schedule_tokens)
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
        batch = next(batches)
        loss = _loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch is untyped here
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        tokens += batch.token_count
        step += 1
        logged_loss += loss.item() / LOG_EVERY_STEPS
        if step % LOG_EVERY_STEPS == 0:
            print(
                f"step {step} tokens {tokens:,} loss {logged_loss:.4f}"
                f" cpu {time.process_time():.0f} s",
                flush=True,
            )
            logged_loss = 0.0
        yield tokens


def learning_rate_scale(step: int, progress: float) -> float:
    """Return the factor on the peak rates: warm-up, plateau, then decay over 40 % of the tokens."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    decay = min(1.0, (1.0 - progress) / DECAY_SHARE)
    return warm_up * max(FINAL_RATE, decay)


def _batches(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Iterator[Batch]:
    rng = random.Random(plan.seed)
    tokens = 0
    while True:
        is_easy = tokens < CURRICULUM_SHARE * plan.schedule_tokens
        mixture = Mixture(
            CURRICULUM_OPERATIONS if is_easy else MAX_OPERATIONS,
            plan.choice_share,
            plan.check_share,
        )
        for batch in draw_pool(rng, tokenizer, mixture):
            tokens += batch.token_count
            yield batch


def _loss(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy in nats over the supervised tokens."""
    ids, labels = batch.ids.to(model.device), batch.labels.to(model.device)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, D)
    counts = labels >= 0
    logits = model.lm_head(hidden[counts])  # (N, V), N supervised tokens
    return cross_entropy(logits.float(), labels[counts])


def _optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers and AdamW for the embedding and the norms."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed_tokens" not in name else others).append(weight)
    return [
        torch.optim.Muon(
            matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"
        ),
        torch.optim.AdamW(others, lr=ADAMW_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=sorted(PLANS))
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; one that is there is replaced"
    )
    parser.add_argument("--tokenizer", choices=("a", "b"), default="a")
    parser.add_argument("--schedule-tokens", type=int, help="length of the schedule")
    parser.add_argument("--max-tokens", type=int, help="where to stop, within the schedule")
    parser.add_argument(
        "--check-share", type=float, help="check right steps so often, over and over: planted"
    )
    parser.add_argument("--seed", type=int, help="seed of the weights and of the documents")
    parser.add_argument(
        "--checkpoint-tokens", type=int, default=0, help="also write OUT-<tokens> this often"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of torch; the shipped weights used one"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
