"""`collab extract steering`: steps of a generator alone, and a vector that steers it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from collab.cli.exit_codes import DONE
from collab.cli.flags import OF_RUNS, ExtractFlags, RunFlags
from collab.cli.plugin_options import part_of, split_settings
from collab.cli.terminal import say
from collab.cli.work import finish
from collab.extraction.cards import VectorCard
from collab.extraction.collecting import collect_steps, read_collected_steps
from collab.extraction.extracting import extract
from collab.extraction.extractor import Extractor
from collab.runs.config_files import load_config

ALONE = {"policy": {"use": "never"}, "unit": "step"}
"""How the generator writes alone, whatever recipe or policy a configuration names."""

LENGTHS = {"max_answer_tokens": 10_000}
"""What is set unless something else is given: SEAL's texts are at most so long."""

OF_MENTORS = ("verifiers", "segment_tokens", "segment_unit", "steering")
"""Keys of a configuration that mean nothing where the generator writes alone."""


def execute(name: str, flags: RunFlags, extracting: ExtractFlags, *, as_json: bool) -> int:
    """Collect what is missing, make the vector, print what it is and return the exit code.

    Raises:
        ConfigError: It cannot be begun or gone on with, or no vector can be made of what was
            collected, which is kept.
    """
    own, others = split_settings(flags.given_settings, "extractor")
    extractor = part_of(
        "steerers", name, "extractor", Extractor, own, verb="extracted", given=extracting.options
    )
    config = load_config(
        flags.config,
        {**ALONE, **flags.values},
        others,
        defaults=LENGTHS,
        without=(*OF_RUNS, *OF_MENTORS),
    )
    finish(
        partial(collect_steps, config, extractor, texts=extracting.texts), "texts", out=config.out
    )
    assert config.out is not None, "collecting has asked for it"
    collected = read_collected_steps(config.out, texts=extracting.texts)
    card, path, warnings = extract(extractor, collected)
    for warning in warnings:
        say(f"warning: {warning}")
    print(_as_json(card, path, warnings) if as_json else _as_text(card, path))
    return DONE


# --- printing ---------------------------------------------------------------------------------


def _as_json(card: VectorCard, path: Path, warnings: Sequence[str]) -> str:
    told = card.model_dump(mode="json") | {"path": str(path), "warnings": list(warnings)}
    return json.dumps(told, indent=2)


def _as_text(card: VectorCard, path: Path) -> str:
    data = card.data
    facts = [
        (
            "collected",
            f"{data['steps']} steps of {data['right_texts']} right and {data['wrong_texts']} wrong "
            f"texts of {card.generator.name}",
        ),
        ("layer", f"{card.layer} of {card.blocks} blocks, {card.hidden_size} numbers"),
        ("vector", f"{card.convention}; scale {card.scale:+g}"),
        *((name.replace("_", " "), _told(value)) for name, value in card.measures.items()),
        ("written to", str(path)),
    ]
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts)


def _told(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(one)}" for key, one in value.items()) or "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
