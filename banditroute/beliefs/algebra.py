"""The linear algebra of beliefs: an inverse with its determinant, and a sum that grows by an outer product."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from banditroute.core.arrays import Vector


def invert(a: Vector, b: Vector, *, least: float) -> tuple[Vector, Vector, float]:
    """``A^-1 (d, d)``, the rows ``A^-1 b (m, d)`` and ``log det A``; no eigenvalue of ``A`` is below ``least``."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    try:
        factor = cho_factor(a, lower=True)
    except LinAlgError:  # contexts so large and so alike that rounding has eaten the prior: give it back
        values, vectors = eigh(a)
        values = np.maximum(values, least)
        inverse = (vectors / values) @ vectors.T
        return inverse, b @ inverse, float(np.log(values).sum())
    return cho_solve(factor, np.eye(len(a))), cho_solve(factor, b.T).T, 2.0 * float(np.log(np.diag(factor[0])).sum())


def add_rank_one(array: Vector, factor: float, left: Vector, right: Vector | None = None) -> None:
    """``array += factor left right'``, in place; without ``right``, that of ``left`` with itself.

    Parameters
    ----------
    array
        In C order ``(m, d)``: its transpose is the Fortran view that BLAS updates.
    left, right
        ``(m,)`` and ``(d,)``.
    """
    _rank_one_product()(factor, left if right is None else right, left, a=array.T, overwrite_a=1)


@cache
def _rank_one_product() -> Callable[..., Vector]:
    from scipy.linalg import blas  # here, since it takes half of the time that importing banditroute may

    dger: Callable[..., Vector] = blas.dger
    return dger
