"""The contexts that an evaluation learns from: those of the log, or features of its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, give_back, large_array, rows_of
from banditroute.core.request import Request
from banditroute.errors import InvalidInputError
from banditroute.features import Featurizer, TextFeatures

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog

Features: TypeAlias = "Literal['auto', 'none'] | Featurizer"
"""``"auto"``: contexts that the log holds, else text features of its prompts; ``"none"``: no contexts at all."""


def with_contexts(log: DecisionLog, features: Features = "auto") -> tuple[DecisionLog, str]:
    """Return the log with the contexts to use, and a text that says which they are.

    Raises
    ------
    InvalidInputError
        If ``features`` is neither "auto", "none" nor a featurizer, or needs prompts that the log does not hold.

    Examples
    --------
    >>> from banditroute.logs import DecisionLog
    >>> log = DecisionLog(
    ...     arms=("a",),
    ...     chosen=np.zeros(2, dtype=int),
    ...     eligible=np.ones((2, 1), dtype=bool),
    ...     outcomes={},
    ...     decided_at=np.arange(2.0),
    ...     prompts=("Hello", "Write a poem"),
    ... )
    >>> with_contexts(log)[1]
    'TextFeatures of 2 prompts'
    """
    if isinstance(features, str) and features not in ("auto", "none"):
        raise InvalidInputError(f"unknown features {features!r:.80}; known features: 'auto', 'none', or a featurizer")
    if features == "none":
        return replace(log, contexts=None), "none (features are switched off)"
    if features == "auto":
        if log.contexts is not None and (numbers := _known_numbers(log.contexts)).any():
            known = int((numbers == log.contexts.shape[1]).sum())
            return log, f"{log.contexts.shape[1] - 1} recorded features of {known:,} decisions"
        if log.prompts is None or not any(log.prompts):
            return replace(log, contexts=None), "none (the log holds neither contexts nor prompts)"
        features = TextFeatures()
    if isinstance(features, str) or not hasattr(features, "transform"):
        raise InvalidInputError(f"features is {features!r:.80}; give 'auto', 'none', or a featurizer")
    if log.prompts is None:
        raise InvalidInputError("the log holds no prompts to take features of; record them, or leave out features")
    return (
        replace(log, contexts=_features(log.prompts, features)),
        f"{type(features).__name__} of {sum(map(bool, log.prompts)):,} prompts",
    )


def _known_numbers(contexts: Vector) -> NDArray[np.intp]:
    """Return how many numbers of each row are known ``(n,)``."""
    counts = [np.count_nonzero(~np.isnan(rows_of(contexts, at)), axis=1) for at in blocks(len(contexts))]
    return np.concatenate([np.zeros(0, dtype=np.intp), *counts])


def _features(prompts: Sequence[str], featurizer: Featurizer) -> Vector:
    """Return the features of each prompt and a bias ``(n, d)``, NaN in rows without a prompt."""
    x = np.empty((0, 0))
    for at in blocks(len(prompts)):
        some = prompts[at]
        features = featurizer.transform([Request(text=prompt) for prompt in some])
        if not x.size:
            x = large_array((len(prompts), features.shape[1] + 1))
        x[at, :-1], x[at, -1] = features, 1.0
        x[at][[not prompt for prompt in some]] = np.nan
        give_back(x)
    return x
