"""Training batches: fresh documents, tokenised, with a mask of what the loss counts."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from choices import choice_documents
from task import Document, Segment, sample_problem, solve_document
from transformers import PreTrainedTokenizerFast

MAX_OPERATIONS = 6
POOL_DOCUMENTS = 256
BATCH_TOKENS = 2048
TOKENIZER_DOCUMENTS = 9_000
TOKENIZER_CHOICE_SHARE = 0.12
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded documents on the CPU: ids and labels `(B, T)`, int64, labels shifted by one."""

    ids: torch.Tensor
    labels: torch.Tensor
    token_count: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a pool of documents is drawn from."""

    max_operations: int
    choice_share: float
    check_share: float | None = None


def tokenizer_texts(seed: int) -> Iterator[str]:
    """Yield the documents that a tokenizer is trained on."""
    mixture = Mixture(MAX_OPERATIONS, TOKENIZER_CHOICE_SHARE)
    for group in _document_groups(random.Random(seed), mixture, TOKENIZER_DOCUMENTS):
        for document in group:
            yield document.text


def draw_pool(
    rng: random.Random, tokenizer: PreTrainedTokenizerFast, mixture: Mixture
) -> list[Batch]:
    """Return a pool of fresh documents as batches of similar lengths, in random order."""
    return batches_of(_document_groups(rng, mixture, POOL_DOCUMENTS), rng, tokenizer)


def batches_of(
    groups: Iterable[Sequence[Document]], rng: random.Random, tokenizer: PreTrainedTokenizerFast
) -> list[Batch]:
    """Return documents as batches of similar lengths, in random order.

    A group stays in one batch: between the two orders of a choice, a preference for one letter
    earns nothing.
    """
    encoded = [[_encode(document, tokenizer) for document in group] for group in groups]
    encoded.sort(key=_width)
    batches: list[list[_Encoded]] = [[]]
    for group in encoded:
        if (len(batches[-1]) + len(group)) * _width(group) > BATCH_TOKENS and batches[-1]:
            batches.append([])
        batches[-1] += group
    rng.shuffle(batches)
    return [_collate(batch, tokenizer) for batch in batches]


@dataclass(frozen=True, slots=True)
class _Encoded:
    ids: list[int]
    is_supervised: list[bool]


def _document_groups(
    rng: random.Random, mixture: Mixture, count: int
) -> Iterator[tuple[Document, ...]]:
    """Yield groups of documents that belong in one batch, `count` documents or one more in all."""
    drawn = 0
    while drawn < count:
        problem = sample_problem(rng, rng.randint(1, mixture.max_operations), split="train")
        # A choice is two documents, so its groups are drawn half as often.
        if rng.random() < mixture.choice_share / (2 - mixture.choice_share):
            group: tuple[Document, ...] = choice_documents(problem, rng)
        else:
            group = (solve_document(problem, rng, mixture.check_share),)
        drawn += len(group)
        yield group


def _encode(document: Document, tokenizer: PreTrainedTokenizerFast) -> _Encoded:
    """Tokenise segment by segment, which equals the whole text: segments end where pieces end."""
    end = (Segment(tokenizer.eos_token),) if document.is_finished else ()
    ids: list[int] = []
    is_supervised: list[bool] = []
    for segment in document.segments + end:
        encoded = tokenizer.backend_tokenizer.encode(segment.text).ids
        ids += encoded
        is_supervised += [segment.is_supervised] * len(encoded)
    return _Encoded(ids, is_supervised)


def _width(group: Sequence[_Encoded]) -> int:
    return max(len(document.ids) for document in group)


def _collate(documents: Sequence[_Encoded], tokenizer: PreTrainedTokenizerFast) -> Batch:
    width = _width(documents)
    ids = torch.full((len(documents), width), tokenizer.pad_token_id)
    labels = torch.full((len(documents), width), IGNORED)
    for row, document in enumerate(documents):
        targets = [
            token if counts else IGNORED
            for token, counts in zip(document.ids[1:], document.is_supervised[1:], strict=True)
        ]
        ids[row, : len(document.ids)] = torch.tensor(document.ids)
        labels[row, : len(targets)] = torch.tensor(targets)
    return Batch(ids, labels, sum(len(document.ids) for document in documents))
