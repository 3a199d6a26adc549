"""How much each block of features matters, chosen by the evidence of the outcomes (empirical Bayes)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock

FIRST_CHOICE = 200  # outcomes
GROWTH = 1.5  # from one choice to the next
STEP = 4.0
OWN_RANGE = (-6, 4)
SHARED_RANGE = (-4, 6)
NATS_PER_STEP = 3.0
MOST_ARMS = 32


class Relevance(NamedTuple):
    own: tuple[int, ...]
    shared: tuple[int, ...]


def neutral(blocks: Sequence[FeatureBlock]) -> Relevance:
    return Relevance((0,) * len(blocks), (0,) * len(blocks))


def checkpoint(outcomes: float) -> int:
    """How many choices ``outcomes`` are enough for."""
    if outcomes < FIRST_CHOICE:
        return 0
    return 1 + int(math.log(outcomes / FIRST_CHOICE) / math.log(GROWTH) + 1e-9)


class Evidence:
    def __init__(self, *, s: Vector, b: Vector, yy: Vector, z: Vector, n: float, begin: Vector, noise: float, strength: float):
        self.s, self.b, self.yy, self.z = s, b, yy, z
        self.n, self.begin, self.noise, self.strength = n, begin, noise, strength

    def log(self, precision: Vector, shared_precision: Vector) -> float:
        d = len(precision)
        a = self.s.copy()
        a[:, range(d), range(d)] += precision
        factor = np.linalg.cholesky(a)
        log_det = 2.0 * float(np.log(np.diagonal(factor, axis1=1, axis2=2)).sum())
        inverse = np.linalg.inv(a)
        own = np.einsum("kij,kj->ki", inverse, self.b)
        rss = float((self.yy - np.einsum("ki,ki->k", own, self.b)).sum())
        k = len(a)
        told = k * np.diag(precision) - precision[:, None] * inverse.sum(axis=0) * precision
        p = np.diag(shared_precision)
        right = shared_precision * self.begin
        p[:d, :d] += told
        right[:d] += precision * own.sum(axis=0)
        if self.z.shape[1]:
            last = -precision * inverse[:, :, -1] * precision[-1]
            last[:, -1] += precision[-1]
            p[:d, d:] += last.T @ self.z
            p[d:, :d] = p[:d, d:].T
            p[d:, d:] += (self.z.T * last[:, -1]) @ self.z
            right[d:] += precision[-1] * (own[:, -1] @ self.z)
        left = rss + float(shared_precision @ np.square(self.begin)) - float(right @ np.linalg.solve(p, right))
        log_det += float(np.linalg.slogdet(p)[1]) - k * float(np.log(precision).sum()) - float(np.log(shared_precision).sum())
        nu = self.strength
        return -0.5 * (log_det + (nu + self.n) * math.log(nu * self.noise**2 + max(left, 0.0)))


def choose(evidence: Evidence, blocks: Sequence[FeatureBlock], precision: Vector, shared_precision: Vector) -> Relevance:
    """precisions are those at neutral relevance."""
    columns = [b.columns for b in blocks]
    d = len(precision)
    cache: dict[tuple, float] = {}

    def score(point: tuple[int, ...]) -> float:
        if point not in cache:
            half = len(columns)
            own, shared = precision.copy(), shared_precision.copy()
            own[:-1] *= np.repeat(STEP ** np.array(point[:half], float), columns)
            shared[: d - 1] *= np.repeat(STEP ** np.array(point[half:], float), columns)
            cache[point] = evidence.log(own, shared) - NATS_PER_STEP * sum(map(abs, point))
        return cache[point]

    point = (0,) * (2 * len(columns))
    ranges = [OWN_RANGE] * len(columns) + [SHARED_RANGE] * len(columns)
    for _ in range(3):
        before = point
        for i, (low, high) in enumerate(ranges):
            for step in (-1, 1):
                moved = False
                while low <= point[i] + step <= high:
                    candidate = point[:i] + (point[i] + step,) + point[i + 1 :]
                    if score(candidate) <= score(point):
                        break
                    point, moved = candidate, True
                if moved:
                    break
        if point == before:
            break
    return Relevance(point[: len(columns)], point[len(columns) :])
