"""Extracting: from collected steps to a vector on disk, with its card."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from collab.collecting.cards import TrainedOn, save_with_card
from collab.errors import TrainingError
from collab.extraction.cards import VectorCard
from collab.extraction.collecting import CollectedSteps
from collab.extraction.extractor import Extracted, Extractor
from collab.extraction.steps import SteppedText
from collab.roles import GENERATOR
from collab.runs.config import installed_versions


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
    folder, generator = collected.source.folder, collected.source.models[GENERATOR]
    if generator.blocks is None or generator.hidden_size is None:
        raise TrainingError(
            f"{folder} does not say how many blocks the generator has and how wide its states are; "
            "begin in another directory"
        )
    card = VectorCard(
        steerer=extractor.steerer,
        generator=TrainedOn(name=generator.name, fingerprint=generator.fingerprint),
        blocks=generator.blocks,
        layer=extracted.layer,
        hidden_size=generator.hidden_size,
        convention=extracted.convention,
        scale=extracted.scale,
        extractor=extractor.model_dump(mode="json"),
        data=_data_facts(collected),
        measures=dict(extracted.measures),
        versions=installed_versions(),
    )

    def save(folder: Path, card: VectorCard) -> Path:
        return extractor.save(folder, extracted.vector, card)

    return card, save_with_card(folder, card, save), _warnings(extracted, collected.texts)


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
        states = text.file.sha256 if text.file else ""
        digest.update(f"{text.problem}\0{states}\0".encode())
        for step in text.steps:
            digest.update(f"{step.text}\0".encode())
    return {
        "sha256": digest.hexdigest(),
        "right_texts": sum(text.is_right for text in texts),
        "wrong_texts": sum(not text.is_right for text in texts),
        "steps": sum(len(text.steps) for text in texts),
        "failed_problems": collected.source.failed,
    }
