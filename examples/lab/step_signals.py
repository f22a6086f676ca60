"""What signals say of wrong steps, with labels from the truth; and what the rank adds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from step_oracle import is_wrong
from task import parse_problem

from collab.calibrating.calibrator import Signal
from collab.calibrating.steps import SignalledText
from collab.collecting.quality import auroc

FOLDS = 5
_ROUNDS = 60
Numbers = NDArray[np.float64]

FITS: Mapping[str, Sequence[str]] = {
    "index": ("step index",),
    "index, entropy": ("step index", "entropy, first token", "entropy, mean"),
    "index, rank": ("step index", "low rank"),
    "index, entropy, rank": (
        "step index",
        "entropy, first token",
        "entropy, mean",
        "low rank",
    ),
    "index, entropy, cosine": (
        "step index",
        "entropy, first token",
        "entropy, mean",
        "cosine to the step before",
    ),
}


def labelled(text: SignalledText, prompt: str) -> SignalledText:
    """Return a text whose steps are labelled by the truth: bad is the first wrong one.

    Steps behind it follow from it, so they are not labelled.
    """
    problem = parse_problem(prompt)
    steps = []
    has_failed = False
    for step in text.steps:
        is_bad = is_wrong(problem, step.text)
        steps.append(replace(step, is_bad=None if has_failed else is_bad))
        has_failed = has_failed or is_bad
    return replace(text, steps=tuple(steps))


def fits(
    texts: Sequence[SignalledText], signals: Sequence[Mapping[str, Signal]]
) -> dict[str, float]:
    """Return the AUROC of logistic fits, each step scored by a fit on other problems.

    A signal without an opinion counts as its mean, with a column that says so. All fits see the
    same steps.
    """
    rows = [
        (place, text.problem, bool(step.is_bad), found)
        for text, found in zip(texts, signals, strict=True)
        for place, step in enumerate(text.steps)
        if step.is_bad is not None
    ]
    labels = np.array([row[2] for row in rows], float)
    names = sorted({row[1] for row in rows})
    folds = np.array([names.index(row[1]) % FOLDS for row in rows])
    return {
        title: _cross_validated(_columns(rows, chosen), labels, folds)
        for title, chosen in FITS.items()
    }


def _columns(
    rows: Sequence[tuple[int, str, bool, Mapping[str, Signal]]], chosen: Sequence[str]
) -> Numbers:
    columns = []
    for name in chosen:
        values = np.array([_value(row[3][name][row[0]]) for row in rows])
        is_known = ~np.isnan(values)
        mean = values[is_known].mean() if is_known.any() else 0.0
        columns += [np.where(is_known, values, mean), is_known.astype(float)]
    return np.stack(columns, axis=1)  # (R, 2 * signals)


def _value(value: float | None) -> float:
    return float("nan") if value is None else value


def _cross_validated(columns: Numbers, labels: Numbers, folds: NDArray[np.int_]) -> float:
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        is_held = folds == fold
        scores[is_held] = _fitted_scores(columns[~is_held], labels[~is_held], columns[is_held])
    return auroc(scores.tolist(), [bool(label) for label in labels])


def _fitted_scores(columns: Numbers, labels: Numbers, others: Numbers) -> Numbers:
    """Return log-odds by a logistic fit with a small ridge, by Newton's method."""
    mean, spread = columns.mean(axis=0), columns.std(axis=0) + 1e-9
    design = np.c_[np.ones(len(columns)), (columns - mean) / spread]
    weights = np.zeros(design.shape[1])
    ridge = np.eye(design.shape[1]) * 1e-3 * len(columns)
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (labels - chance) - ridge @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + ridge
        weights += np.linalg.solve(curvature, gradient)
    found: Numbers = np.c_[np.ones(len(others)), (others - mean) / spread] @ weights
    return found
