"""Extracting: from collected steps to a vector on disk, with its card."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from collab.durable_files import replace_file
from collab.errors import RunDirectoryError
from collab.extraction.cards import VectorCard
from collab.extraction.collecting import CollectedSteps
from collab.extraction.extractor import Extracted, Extractor
from collab.extraction.steps import SteppedText
from collab.runs.config import installed_versions
from collab.training.cards import CARD_NAME, TrainedOn


def extract(
    extractor: Extractor, collected: CollectedSteps
) -> tuple[VectorCard, Path, tuple[str, ...]]:
    """Make a vector and write it with its card beside the steps.

    Args:
        extractor: How it is made.
        collected: What of.

    Returns:
        The card, the file that holds the vector, and warnings for people.

    Raises:
        TrainingError: It cannot be made of these; they are kept.
        RunDirectoryError: It cannot be written.
    """
    extracted = extractor.extract(collected.texts)
    name, fingerprint = collected.generator
    card = VectorCard(
        steerer=extractor.steerer,
        generator=TrainedOn(name=name, fingerprint=fingerprint),
        blocks=collected.blocks,
        layer=extracted.layer,
        hidden_size=collected.hidden_size,
        convention=extracted.convention,
        scale=extracted.scale,
        extractor=extractor.model_dump(mode="json"),
        data=_data_facts(collected),
        measures=dict(extracted.measures),
        versions=installed_versions(),
    )
    try:
        path = extractor.save(collected.folder, extracted.vector, card)
        replace_file(collected.folder / CARD_NAME, card.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write the vector into {collected.folder}: {error}; the steps are safely "
            "there, run the same command again"
        ) from error
    return card, path, _warnings(extracted, collected.texts)


def _warnings(extracted: Extracted, texts: Sequence[SteppedText]) -> tuple[str, ...]:
    rights = sum(text.is_right for text in texts)
    missing = "right" if not rights else "wrong" if rights == len(texts) else ""
    if not missing:
        return extracted.warnings
    told = (
        f"there is no {missing} text among {len(texts)}; published vectors are made of as many "
        "right as wrong ones"
    )
    return (told, *extracted.warnings)


def _data_facts(collected: CollectedSteps) -> dict[str, JsonValue]:
    texts = collected.texts
    digest = hashlib.sha256()
    for text in texts:  # rows beyond those that were taken do not matter
        digest.update(f"{text.problem}\0{text.states_sha256}\0".encode())
        for step in text.steps:
            digest.update(f"{step.text}\0".encode())
    return {
        "sha256": digest.hexdigest(),
        "right_texts": sum(text.is_right for text in texts),
        "wrong_texts": sum(not text.is_right for text in texts),
        "steps": sum(len(text.steps) for text in texts),
        "failed_problems": collected.failed,
    }
