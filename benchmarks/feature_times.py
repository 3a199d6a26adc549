"""Microseconds of one core per prompt, beside scikit-learn's HashingVectorizer and MiniLM in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from banditroute.core.optional_imports import optional
from banditroute.core.request import Request
from banditroute.features import Complexity, SemanticCluster, StaticEmbedding, TextFeatures
from benchmarks import minilm
from benchmarks.harness import Row, row

LENGTHS = (100, 1_000, 10_000)  # characters
BATCH = 256
REPEATS = 7
MINILM_TEXTS = 8  # it takes some thousand times as long
MINILM_REPEATS = 2

Texts = list[str]


def times(prompts: Sequence[str], *, with_minilm: bool) -> list[Row]:
    """Medians of repeats that take turns, for texts cut from the prompts joined; ratios are to the same repeat.

    ``@single`` calls once per text, ``@batch`` once with 256 texts (MiniLM: with 8).
    """
    subjects = _subjects()
    sentence = minilm.model() if with_minilm else None
    rows: list[Row] = []
    joined = "\n".join(prompts)
    for length in LENGTHS:
        starts = np.random.default_rng(0).integers(max(1, len(joined) - length), size=BATCH)
        texts = [joined[start : start + length] for start in starts]
        for call, single in (("single", True), ("batch", False)):
            taken: dict[str, list[float]] = {name: [] for name in subjects}
            for _ in range(REPEATS):
                for name, run in subjects.items():
                    taken[name].append(_microseconds(run, texts, single=single))
            case = f"{length}_characters@{call}"
            rows += [_row(case, name, "microseconds", values) for name, values in taken.items()]
            rows += _ratios(case, "ratio_to_hashing", taken, taken["hashing_vectorizer"])
            if sentence is not None:
                few = texts[:MINILM_TEXTS]
                slow = [_microseconds(_quiet(sentence), few, single=single) for _ in range(MINILM_REPEATS)]
                rows.append(_row(case, "minilm_384", "microseconds", slow))
                rows += _ratios(case, "ratio_to_minilm", taken, [statistics.median(slow)] * REPEATS)
    return rows


def _subjects() -> dict[str, Callable[[Texts], object]]:
    ours = {
        "banditroute": TextFeatures(),
        "banditroute/complexity": Complexity(),
        "banditroute/static16": StaticEmbedding(dimension=16),
        "banditroute/clusters": SemanticCluster(),
    }

    def ready(featurizer: Any) -> Callable[[Texts], object]:
        def run(texts: Texts) -> object:
            if len(texts) == 1:
                return featurizer.transform_one(Request(text=texts[0]))
            return featurizer.transform([Request(text=text) for text in texts])

        return run

    hashing = optional("sklearn.feature_extraction.text", extra="embeddings").HashingVectorizer()
    return {**{name: ready(featurizer) for name, featurizer in ours.items()}, "hashing_vectorizer": hashing.transform}


def _quiet(sentence: Any) -> Callable[[Texts], object]:
    return lambda texts: sentence.encode(texts, show_progress_bar=False)


def _microseconds(run: Callable[[Texts], object], texts: Texts, *, single: bool) -> float:
    """Per text, of processor time: what other programs take is not counted."""
    calls = [[text] for text in texts] if single else [texts]
    run(calls[0])  # what is loaded at the first use is not counted
    start = time.process_time()
    for call in calls:
        run(call)
    return (time.process_time() - start) / len(texts) * 1e6


def _ratios(case: str, metric: str, taken: dict[str, list[float]], reference: list[float]) -> list[Row]:
    return [
        _row(case, name, metric, [value / base for value, base in zip(values, reference, strict=True)])
        for name, values in taken.items()
        if name.startswith("banditroute")
    ]


def _row(case: str, policy: str, metric: str, values: list[float]) -> Row:
    measured = row(case, policy, metric, values, higher_is_better=False)
    return Row(**{**vars(measured), "mean": statistics.median(values)})  # a median: one repeat may be disturbed
