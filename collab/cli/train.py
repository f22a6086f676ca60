"""`collab train verifier`: branches of a run, and a verifier that has learnt from them."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from collab.cli.exit_codes import DONE
from collab.cli.flags import OF_RUNS, RunFlags, TrainFlags
from collab.cli.plugin_options import part_of, split_settings
from collab.cli.terminal import percent, with_interval
from collab.cli.work import finish
from collab.runs.config_files import load_config
from collab.training.cards import Card
from collab.training.collecting import collect_branches, read_collected_branches
from collab.training.fitting import FitOptions, fit
from collab.training.trainer import Trainer


def execute(name: str, flags: RunFlags, training: TrainFlags, *, as_json: bool) -> int:
    """Collect what is missing, train, print how well it does and return the exit code.

    Raises:
        ConfigError: It cannot be begun or gone on with, or nothing can be trained on what was
            collected, which is kept.
    """
    own, others = split_settings(flags.given_settings, "trainer")
    trainer = part_of("verifiers", name, "trainer", Trainer, own, verb="trained")
    config = load_config(flags.config, flags.values, others, without=OF_RUNS)
    work = partial(collect_branches, config, trainer, samples=training.samples)
    finish(work, "branches", out=config.out)
    assert config.out is not None, "collecting has asked for it"
    collected = read_collected_branches(config.out)
    options = FitOptions(
        held_out=training.held_out,
        tie_weight=training.tie_weight,
        seed=config.seed,
        are_all_taken=config.limit is None or len(collected.branches) < config.limit,
    )
    card, path = fit(name, trainer, collected, options)
    print(_as_json(card, path) if as_json else _as_text(card, path))
    return DONE


# --- printing ---------------------------------------------------------------------------------


def _as_json(card: Card, path: Path) -> str:
    return json.dumps(card.model_dump(mode="json") | {"path": str(path)}, indent=2)


def _as_text(card: Card, path: Path) -> str:
    data, metrics, training = card.data, card.metrics, card.training
    right = metrics["right_answers"]
    assert isinstance(right, dict), "as written by `collab.training.fitting`"
    facts = [
        (
            "collected",
            f"{data['branches']} branches of {data['problems']} problems, {data['ties']} ties",
        ),
        (
            "trained",
            f"on {data['trained_on']} branches; "
            f"{', '.join(f'{key} {_told(value)}' for key, value in training.items())}",
        ),
        (
            "held out",
            f"{metrics['branches']} branches of {metrics['problems']} problems, "
            f"{metrics['ties']} ties; the generator is right at {metrics['generator_is_right']}, "
            f"the mentor at {metrics['mentor_is_right']}",
        ),
        ("AUROC", _number(metrics["auroc"]) + _interval(metrics["auroc_interval"])),
        (
            "accuracy",
            f"{_share(metrics, 'accuracy')}; of the more frequent class "
            f"{percent(_float(metrics['accuracy_of_the_commoner_class']))}",
        ),
        (
            "calibration",
            f"Brier {_number(metrics['brier'])}, error {_number(metrics['calibration_error'])}",
        ),
        (
            "mentor",
            f"chosen at {percent(_float(metrics['mentor_choices']))} of all branches, "
            f"with the threshold {card.threshold:g}",
        ),
        (
            "right answers",
            ", ".join(f"{way} {percent(_float(share))}" for way, share in right.items()),
        ),
        ("verifier", str(path)),
    ]
    return "\n".join(f"{name:<14} {value}" for name, value in facts)


def _share(metrics: Mapping[str, JsonValue], name: str) -> str:
    low, high = _pair(metrics[f"{name}_interval"])
    return with_interval(_float(metrics[name]), (low, high))


def _interval(value: JsonValue) -> str:
    low, high = _pair(value)
    return f" ({low:.3f} to {high:.3f})"


def _pair(value: JsonValue) -> tuple[float, float]:
    assert isinstance(value, list), "an interval has two ends"
    low, high = map(_float, value)
    return low, high


def _number(value: JsonValue) -> str:
    return f"{_float(value):.3f}"


def _told(value: JsonValue) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _float(value: JsonValue) -> float:
    assert isinstance(value, int | float), "metrics are numbers"
    return float(value)
