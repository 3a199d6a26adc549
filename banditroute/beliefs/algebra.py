"""Linear algebra for beliefs: invert precision matrices, multiply many of them, and add outer products in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from banditroute.core.arrays import Vector

_CACHED_BYTES = 2**20  # what the processor's second cache is taken to hold


def invert(a: Vector, b: Vector, *, least: float) -> tuple[Vector, Vector, float]:
    """Return ``A^-1 (d, d)``, symmetric to the last bit, the rows ``A^-1 b (m, d)`` and ``log det A``.

    Rounding may leave ``A`` without positive eigenvalues. Then every eigenvalue below ``least`` is raised to it.
    """
    from scipy.linalg import eigh, lapack

    factor, failed = lapack.dpotrf(a.T, lower=1)
    if failed:  # large, nearly equal contexts: rounding has lost the prior, so restore it
        values, vectors = eigh(a)
        values = np.maximum(values, least)
        inverse = (vectors / values) @ vectors.T
        return (inverse + inverse.T) / 2.0, b @ inverse, float(np.log(values).sum())
    products = lapack.dpotrs(factor, b.T, lower=1)[0].T if len(b) else b
    log_det = 2.0 * float(np.log(factor.diagonal()).sum())
    half = lapack.dpotri(factor, lower=1, overwrite_c=1)[0]  # the lower triangle; above it are zeros
    half.flat[:: len(half) + 1] *= 0.5
    return half + half.T, products, log_det


def invert_all(a: Vector, b: Vector, *, least: float) -> tuple[Vector, Vector, Vector]:
    """Return ``A^-1 (n, d, d)``, ``A^-1 b (n, m, d)`` and ``log det A (n,)`` of n matrices; see ``invert``."""
    inverses, products, log_dets = np.empty_like(a), np.empty_like(b), np.empty(len(a))
    for i, (matrix, right) in enumerate(zip(a, b, strict=True)):
        inverses[i], products[i], log_dets[i] = invert(matrix, right, least=least)
    return inverses, products, log_dets


def multiply_all(matrices: Vector, vector: Vector) -> Vector:
    """Return the product of each matrix ``(K, d, d)`` and a vector ``(d,)``: ``(K, d)``."""
    k, d, _ = matrices.shape
    products: Vector = matrices.reshape(k * d, d).dot(vector).reshape(k, d)
    return products


def multiply_both(matrices: Vector, one: Vector, other: Vector) -> tuple[Vector, Vector]:
    """Return the products of each matrix ``(K, d, d)`` and each of two vectors ``(d,)``: two of ``(K, d)``.

    The matrices are read only once. Beyond the processor's cache, one matrix at a time is faster than all as one.
    """
    k, d, _ = matrices.shape
    vectors = np.empty((d, 2))
    vectors[:, 0], vectors[:, 1] = one, other
    if matrices.nbytes <= _CACHED_BYTES:
        products = matrices.reshape(k * d, d).dot(vectors).reshape(k, d, 2)
        return products[..., 0], products[..., 1].copy()
    products = np.empty((k, 2, d))
    np.matmul(matrices, vectors, out=products.transpose(0, 2, 1))
    return products[:, 0], products[:, 1]


def add_rank_one(array: Vector, factor: float, left: Vector, right: Vector | None = None) -> None:
    """Add ``factor left right'`` to ``array`` in place; ``right`` defaults to ``left``.

    Parameters
    ----------
    array
        Array ``(m, d)`` in C order: its transpose is the Fortran view that BLAS updates.
    left, right
        ``(m,)`` and ``(d,)``.
    """
    # The same in positions: factor, x, y, incx, incy, a, overwrite_x, overwrite_y, overwrite_a. Keywords cost a third.
    _rank_one_product()(factor, left if right is None else right, left, 1, 1, array.T, 1, 1, 1)


@cache
def _rank_one_product() -> Callable[..., Vector]:
    from scipy.linalg import blas  # imported late: it would take half of banditroute's import time

    dger: Callable[..., Vector] = blas.dger
    return dger
