"""Fitting: from collected branches to a verifier on disk, measured on problems held out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from collab.collecting.cards import TrainedOn, save_with_card
from collab.collecting.quality import auroc, auroc_interval, brier, calibration_error
from collab.roles import GENERATOR
from collab.statistics import wilson_interval
from collab.training.branches import Branch
from collab.training.cards import Card
from collab.training.collecting import CollectedBranches
from collab.training.examples import ensure_enough, example_of, examples_of, is_held_out
from collab.training.trainer import Trained, Trainer


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How collected branches are used.

    Attributes:
        held_out: Share of the problems that is only measured on.
        tie_weight: How much a tie counts in training, with neither way as its target; 0 drops it.
        seed: Of the split and of training.
        are_all_taken: Whether the branches are of all problems that there are, for errors.
    """

    held_out: float = 0.25
    tie_weight: float = 0.0
    seed: int = 0
    are_all_taken: bool = False


def fit(
    verifier: str, trainer: Trainer, collected: CollectedBranches, options: FitOptions
) -> tuple[Card, Path]:
    """Train a verifier, measure it, and write it with its card beside the branches.

    Problems are held out by a hash of their ids, so that branches of one problem are never on
    both sides, and a problem stays on its side when others are added.

    Args:
        verifier: The plug-in that it is for.
        trainer: How it learns.
        collected: What from.
        options: How that is used.

    Returns:
        The card, and the file that holds the verifier.

    Raises:
        TrainingError: There are too few branches, or of one class; they are kept.
        RunDirectoryError: It cannot be written.
    """

    def is_measured(problem: str) -> bool:
        return is_held_out(problem, seed=options.seed, share=options.held_out)

    sides = {True: dict[str, Sequence[Branch]](), False: dict[str, Sequence[Branch]]()}
    for problem, branches in collected.branches.items():
        sides[is_measured(problem)][problem] = branches
    learnt = examples_of(sides[False], tie_weight=options.tie_weight)
    ensure_enough(
        learnt,
        examples_of(sides[True], tie_weight=0.0),
        collected.source.folder,
        are_all_taken=options.are_all_taken,
    )
    trained = trainer.fit(learnt, seed=options.seed)
    models = collected.source.models
    generator = models[GENERATOR]
    card = Card(
        verifier=verifier,
        generator=TrainedOn(name=generator.name, fingerprint=generator.fingerprint),
        mentors={role: model.name for role, model in models.items() if role != GENERATOR},
        threshold=trainer.threshold,
        trainer=trainer.model_dump(mode="json"),
        data=_data_facts(collected, options, len(learnt)),
        metrics=measured(trained, sides[True], threshold=trainer.threshold, seed=options.seed),
        training=dict(trained.notes),
    )
    return card, save_with_card(collected.source.folder, card, trained.save)


def measured(
    trained: Trained, held_out: dict[str, Sequence[Branch]], *, threshold: float, seed: int
) -> dict[str, JsonValue]:
    """Return how well a verifier does on branches that it has not learnt from.

    What compares it with labels leaves ties out: there is no right choice. The share of
    mentor choices and the right answers count all branches, as they would be met.

    Args:
        trained: The verifier.
        held_out: Branches by problem; both classes are among them.
        threshold: The generator's way is taken above it.
        seed: Of the bootstrap.
    """
    branches = [(problem, one) for problem, found in held_out.items() for one in found]
    all_scores = trained.scores([one.state for _, one in branches])
    labelled = [
        (score, example.target == 1.0, problem)
        for score, (problem, one) in zip(all_scores, branches, strict=True)
        if (example := example_of(problem, one)) is not None
    ]
    scores = [score for score, _, _ in labelled]
    labels = [label for _, label, _ in labelled]
    groups = [problem for _, _, problem in labelled]
    right = sum((score > threshold) == label for score, label, _ in labelled)
    low, high = auroc_interval(scores, labels, groups, seed=seed)
    chosen = [score > threshold for score in all_scores]
    return {
        "problems": len(held_out),
        "branches": len(branches),
        "ties": len(branches) - len(labelled),
        "generator_is_right": sum(labels),
        "mentor_is_right": len(labels) - sum(labels),
        "auroc": auroc(scores, labels),
        "auroc_interval": [low, high],
        "accuracy": right / len(labelled),
        "accuracy_interval": list(wilson_interval(right, len(labelled))),
        "accuracy_of_the_commoner_class": max(sum(labels), len(labels) - sum(labels)) / len(labels),
        "brier": brier(scores, labels),
        "calibration_error": calibration_error(scores, labels),
        "mentor_choices": 1 - sum(chosen) / len(chosen),
        "right_answers": _right_answers([one for _, one in branches], chosen),
    }


def _right_answers(branches: Sequence[Branch], chosen: Sequence[bool]) -> JsonValue:
    """Return the share of right roll-outs if at every branch one chose so."""
    pairs = [(one.own_right, one.offered_right) for one in branches]
    count = len(pairs)
    ways = zip(pairs, chosen, strict=True)
    return {
        "generator": sum(own for own, _ in pairs) / count,
        "mentor": sum(offered for _, offered in pairs) / count,
        "verifier": sum(own if is_own else offered for (own, offered), is_own in ways) / count,
        "best": sum(max(pair) for pair in pairs) / count,
    }


def _data_facts(
    collected: CollectedBranches, options: FitOptions, learnt: int
) -> dict[str, JsonValue]:
    branches = [one for found in collected.branches.values() for one in found]
    content = (collected.source.folder / "results.jsonl").read_bytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "problems": len(collected.branches),
        "failed_problems": collected.source.failed,
        "branches": len(branches),
        "ties": sum(one.is_tie for one in branches),
        "trained_on": learnt,
        "held_out": options.held_out,
        "tie_weight": options.tie_weight,
        "seed": options.seed,
    }
