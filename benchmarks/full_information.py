"""Routing with full information: what features are worth to a linear router, and to one that looks up neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

FOLDS = 5
PENALTIES = 10.0 ** np.arange(-3.0, 2.6, 0.5)  # in units of the training part's mean eigenvalue
NEIGHBOURS = 40  # as RouterBench has it (Hu et al. 2024)

Predict = Callable[[np.ndarray], np.ndarray]
"""Features ``(m, d)`` -> expected score of every arm ``(m, K)``."""
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Predict]
"""Features ``(n, d)``, scores ``(n, K)``, inner fold of each row ``(n,)`` -> prediction."""


def choices(
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: int,
    fit: Fit,
    variants: Sequence[np.ndarray] = (),
    whitened: int | None = None,
) -> np.ndarray:
    """Arm chosen for every prompt by what was fitted on the folds without it ``(1 + variants, n)``.

    The first row is for ``x``, the others for the same prompts written another way: ``variants``, each ``(n, d)``.
    With ``whitened``, x is projected on so many principal directions of the training part, scaled to unit variance.
    """
    n = len(x)
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    chosen = np.empty((1 + len(variants), n), dtype=np.intp)
    for test in range(FOLDS):
        train, tested = fold != test, fold == test
        project = _whitening(x[train], whitened) if whitened else lambda rows: rows
        predict = fit(project(x[train]), y[train], fold[train])
        for version, rows in enumerate((x, *variants)):
            chosen[version, tested] = predict(project(rows[tested])).argmax(axis=1)
    return chosen


def ridge(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> Predict:
    """One ridge regression per arm with a free intercept; the penalty has the least squared error on inner folds."""
    labels = np.unique(fold)
    full = np.hstack([x, np.ones((len(x), 1))])
    parts = [full[fold == label] for label in labels]
    scores = [y[fold == label] for label in labels]
    grams = [part.T @ part for part in parts]
    moments = [part.T @ score for part, score in zip(parts, scores, strict=True)]
    errors = np.zeros(len(PENALTIES))
    for held, (part, score) in enumerate(zip(parts, scores, strict=True)):
        fits = _ridge_path(sum(grams) - grams[held], sum(moments) - moments[held])
        errors += [((part @ weights - score) ** 2).sum() for weights in fits]
    weights = list(_ridge_path(sum(grams), sum(moments)))[errors.argmin()]
    return lambda rows: rows @ weights[:-1] + weights[-1]


def _ridge_path(gram: np.ndarray, moment: np.ndarray) -> Iterator[np.ndarray]:
    """Weights ``(d + 1, K)``, intercept last, for each penalty; from sums over rows whose last entry is 1."""
    n = gram[-1, -1]
    mean, mean_score = gram[:-1, -1] / n, moment[-1] / n
    values, vectors = np.linalg.eigh(gram[:-1, :-1] - n * np.outer(mean, mean))
    values = np.maximum(values, 0.0)
    rotated = vectors.T @ (moment[:-1] - n * np.outer(mean, mean_score))
    for penalty in PENALTIES * values.mean():
        weights = vectors @ (rotated / (values + penalty)[:, None])
        yield np.vstack([weights, mean_score - mean @ weights])


def neighbours(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> Predict:
    """Mean score of the nearest training prompts by Euclidean distance; nothing is chosen, so no inner fold is used."""
    known = x.astype(np.float32)
    squares = (known**2).sum(axis=1)

    def predict(rows: np.ndarray) -> np.ndarray:
        distances = squares - 2.0 * rows.astype(np.float32) @ known.T
        nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        return y[nearest].mean(axis=1)

    return predict


def _whitening(x: np.ndarray, dimension: int) -> Predict:
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    directions = vectors[:, ::-1][:, :dimension] / np.sqrt(values[::-1][:dimension])
    return lambda rows: (rows - mean) @ directions
