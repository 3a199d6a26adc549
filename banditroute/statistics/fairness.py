"""Measures of how evenly something is distributed: Jain's index, and effective arms."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from banditroute.errors import InvalidInputError


def effective_arms(counts: Iterable[float]) -> float:
    """Return how many equally used arms have the same entropy: K if all K are used alike, 1 if one gets everything.

    ``exp(-sum s log s)`` for shares s; 1 without any use.

    Examples
    --------
    >>> round(effective_arms([50, 50, 0]), 3), round(effective_arms([98, 2]), 2)
    (2.0, 1.1)
    """
    used = np.array([each for each in counts if each > 0.0], dtype=np.float64)
    shares = used / used.sum() if len(used) else np.ones(1)
    return float(np.exp(-(shares @ np.log(shares))))


def jain_index(values: Iterable[float]) -> float:
    """Return Jain's index of n amounts: 1 if all are equal, 1/n if one has everything.

    ``(sum x)^2 / (n sum x^2)``; 1 if all are 0. Source: Jain, Chiu, Hawe 1984, "A quantitative measure of fairness and
    discrimination for resource allocation in shared computer systems".

    Raises
    ------
    InvalidInputError
        If there are no amounts, or one is negative or not finite.

    Examples
    --------
    >>> jain_index([0.25, 0.25, 0.25, 0.25]), jain_index([1, 0, 0, 0]), jain_index([0.9, 0.6])
    (1.0, 0.25, 0.9615384615384616)
    """
    x = np.array([*values], dtype=np.float64)
    if not len(x) or not np.isfinite(x).all() or x.min() < 0.0:
        raise InvalidInputError(f"the amounts are {x!r:.80}; give at least one, each finite and at least 0")
    squares = float((x**2).sum())
    return float(x.sum()) ** 2 / (len(x) * squares) if squares > 0.0 else 1.0
