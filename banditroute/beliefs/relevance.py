"""How much each block of features matters, chosen by the evidence of the outcomes (empirical Bayes).

A hybrid belief has two prior precisions for each block of features: that of what an arm adds (``own``) and that of what
all arms share (``shared``). Each is ``4^exponent`` times the usual one, with one exponent for each block. A block that
does not matter gets high exponents, and specialists get a low one for what an arm adds.

With all weights and one noise for all arms integrated out, n outcomes of K arms have the evidence

    log p(y) = const - 1/2 (sum_k log det A_k / det Lambda + log det P / det Lambda_s)
                     - (nu + n) / 2 log(nu noise0^2 + R)
    R = sum_k rss_0,k + b0' Lambda_s b0 - r' P^-1 r

in the words of :mod:`banditroute.beliefs.hybrid`: the density of a Student distribution with ``nu`` degrees of freedom
(Bishop 2006, "Pattern recognition and machine learning", sections 2.3.7 and 3.5.1). The prior of each exponent falls by
``_NATS_PER_STEP`` for every step away from 0. The search climbs one exponent after the other; the result is the mean of
each exponent under its posterior near the top, so it moves smoothly with the outcomes and does not jump to and fro.

A choice is made when 200 outcomes are known, again at every factor of 1.5 up to 2,278, and then at every doubling: all
choices together cost about 1 microsecond an outcome in the long run. A choice depends on the sums alone, not
on the order of the outcomes. Processes share it: see :class:`Choices`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.errors import IncompatibleStoreError

MOST_ARMS = 8
"""A choice rests on the arms with the most outcomes, at most so many: its cost does not grow with the arms."""

_FIRST_CHOICE_OUTCOMES = 200
_EARLY_CHOICES = 6  # that follow at a factor of 1.5; later ones at a factor of 2
_STEP = 4.0  # in precision
_OWN_EXPONENTS, _SHARED_EXPONENTS = (-12, 4), (-4, 6)
_NATS_PER_STEP = 3.0
_ROUNDS = 3  # over all exponents
_MOST_EVALUATIONS = 64  # of the evidence while climbing
_LEAST_WEIGHT = 0.02  # of a neighbour in the mean of an exponent
_SPECIALISTS_EXPONENT = -2.0  # at which all of the uncertainty about a context is explored

_Exponents: TypeAlias = tuple[float, ...]


class Relevance(NamedTuple):
    """How much each block of features matters to one objective.

    Attributes
    ----------
    own, shared
        For each block, the exponent of the prior precision of what an arm adds, and of what all arms share.
    """

    own: _Exponents
    shared: _Exponents

    def scale(self, precision: Vector, shared_precision: Vector, columns: Sequence[int]) -> None:
        """Multiply the usual precisions, ``(d,)`` and ``(p,)``, in place."""
        features = len(precision) - 1
        precision[:-1] *= np.repeat(_STEP ** np.array(self.own, dtype=float), columns)
        shared_precision[:features] *= np.repeat(_STEP ** np.array(self.shared, dtype=float), columns)

    def explored_share(self, blocks: Sequence[FeatureBlock]) -> float:
        """Return how much of the uncertainty about a context is always explored, in [0, 1].

        Where arms hardly differ by context, acting on the best expectation explores contexts by itself, and the share
        is 0. Specialists need every context explored: the share is 1 where the outcomes say that an arm's own weights
        vary by 16 times as much as usual. Blocks count by the variance that they have.
        """
        variances = [_STEP**-own * block.strength for own, block in zip(self.own, blocks, strict=True)]
        shares = [min(1.0, (min(own, 0.0) / _SPECIALISTS_EXPONENT) ** 2) for own in self.own]
        return float(np.dot(variances, shares) / sum(variances))


class Choices(NamedTuple):
    """The choices of a belief so far, recorded so that a restart and other processes have the same.

    Attributes
    ----------
    made
        How many choices the outcomes were enough for.
    relevance
        Objective -> how much each block matters to it.
    """

    made: int = 0
    relevance: Mapping[str, Relevance] = {}

    def to_bytes(self) -> bytes:
        """JSON for :meth:`from_bytes`."""
        return json.dumps({"count": self.made, "relevance": self.relevance}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, blob: bytes | None, *, blocks: int) -> Choices:
        """Read what :meth:`to_bytes` wrote; None, or choices for another number of blocks, are no choices.

        Raises
        ------
        IncompatibleStoreError
            If the bytes are damaged.
        """
        if blob is None:
            return cls()
        try:
            content = json.loads(blob)
            relevance = {
                str(name): Relevance(*(tuple(map(float, exponents)) for exponents in pair))
                for name, pair in content["relevance"].items()
            }
            count = int(content["count"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IncompatibleStoreError(
                f"the stored choices of a belief are damaged ({error}); restore the database from a backup, or use "
                "another router name"
            ) from error
        same = all(len(each.own) == len(each.shared) == blocks for each in relevance.values())
        return cls(count, relevance) if same else cls()


def outcomes_due(count: int) -> float:
    """Return how many outcomes the ``count``-th choice needs, a trifle less so that rounding does not delay it.

    Examples
    --------
    >>> [round(outcomes_due(count)) for count in range(1, 10)]
    [200, 300, 450, 675, 1012, 1519, 2278, 4556, 9112]
    """
    if count < 1:
        return 0.0
    early = min(count - 1, _EARLY_CHOICES)
    return _FIRST_CHOICE_OUTCOMES * math.pow(1.5, early) * math.pow(2.0, count - 1 - early) * (1.0 - 1e-9)


def choices_due(outcomes: float) -> int:
    """Return how many choices so many outcomes are enough for.

    Examples
    --------
    >>> [choices_due(outcomes) for outcomes in (199, 200, 299, 300, 450)]
    [0, 1, 1, 2, 3]
    """
    return next(count for count in itertools.count() if outcomes < outcomes_due(count + 1))


class Evidence(NamedTuple):
    """The sums of one objective, from which the evidence of any precisions follows.

    Attributes
    ----------
    s : (K, d, d)
        ``sum w x x'`` of each arm that was observed.
    b : (K, d)
        ``sum w y x``.
    yy
        ``sum w y^2`` over all arms.
    n
        How many outcomes there are, by weight.
    z : (K, q)
        Descriptors of the arms.
    begin : (p,)
        Prior mean of the shared weights.
    noise, strength
        Guess of the noise, and how many observations it is worth.
    """

    s: Vector
    b: Vector
    yy: float
    n: float
    z: Vector
    begin: Vector
    noise: float
    strength: float

    def log(self, precision: Vector, shared_precision: Vector) -> float:
        """Return ``log p(y)`` but for a constant, given the diagonals of ``Lambda (d,)`` and ``Lambda_s (p,)``."""
        from scipy.linalg import lapack  # here, since importing it takes long

        k, d = self.b.shape
        own, inverses, bias = np.empty((k, d)), np.zeros((d, d)), np.empty((k, d))
        log_det = 0.0
        for i in range(k):
            a = self.s[i].copy()
            a[range(d), range(d)] += precision
            factor, failed = lapack.dpotrf(a, lower=1)
            if failed:
                return -math.inf  # rounding has eaten the prior
            log_det += 2.0 * float(np.log(factor.diagonal()).sum())
            own[i] = lapack.dpotrs(factor, self.b[i], lower=1)[0]
            inverse = lapack.dpotri(factor, lower=1)[0]  # its lower triangle
            inverses += inverse
            bias[i] = inverse[-1]
        inverses = np.tril(inverses) + np.tril(inverses, -1).T
        p = np.diag(shared_precision)
        right = shared_precision * self.begin
        p[:d, :d] += k * np.diag(precision) - precision[:, None] * inverses * precision
        right[:d] += precision * own.sum(axis=0)
        if self.z.shape[1]:
            bias *= -precision[-1] * precision  # the last column of each M_k
            bias[:, -1] += precision[-1]
            p[:d, d:] += bias.T @ self.z
            p[d:, :d] = p[:d, d:].T
            p[d:, d:] += (self.z.T * bias[:, -1]) @ self.z
            right[d:] += precision[-1] * (own[:, -1] @ self.z)
        rss = self.yy - float(np.vdot(own, self.b))
        rss += float(shared_precision @ np.square(self.begin)) - float(right @ np.linalg.solve(p, right))
        log_det += float(np.linalg.slogdet(p)[1])
        log_det -= k * float(np.log(precision).sum()) + float(np.log(shared_precision).sum())
        scale = self.strength * self.noise * self.noise + max(rss, 0.0)
        return float(-0.5 * (log_det + (self.strength + self.n) * math.log(scale)))


def choose(
    evidence: Evidence, precision: Vector, shared_precision: Vector, blocks: Sequence[FeatureBlock]
) -> Relevance:
    """Return how much each block matters, by the evidence and the prior of the exponents.

    Parameters
    ----------
    precision, shared_precision
        The usual ones: the diagonals of ``Lambda (d,)`` and ``Lambda_s (p,)`` where all exponents are 0.
    """
    columns = [block.columns for block in blocks]
    ranges = [_OWN_EXPONENTS] * len(blocks) + [_SHARED_EXPONENTS] * len(blocks)
    known: dict[_Exponents, float] = {}

    def score(point: _Exponents) -> float:
        if point not in known:
            own, shared = precision.copy(), shared_precision.copy()
            Relevance(point[: len(blocks)], point[len(blocks) :]).scale(own, shared, columns)
            known[point] = evidence.log(own, shared) - _NATS_PER_STEP * sum(map(abs, point))
        return known[point]

    top = _climb(score, (0.0,) * len(ranges), ranges, enough=lambda: len(known) >= _MOST_EVALUATIONS)
    means = tuple(_mean_exponent(score, top, i, each) for i, each in enumerate(ranges))
    return Relevance(means[: len(blocks)], means[len(blocks) :])


def _climb(
    score: Callable[[_Exponents], float],
    point: _Exponents,
    ranges: Sequence[tuple[int, int]],
    enough: Callable[[], bool],
) -> _Exponents:
    """Return where no step of one exponent raises the score, or where enough was tried."""
    for _ in range(_ROUNDS):
        before = point
        for i, (low, high) in enumerate(ranges):
            for way in (-1, 1):
                while low <= point[i] + way <= high and not enough() and score(_moved(point, i, way)) > score(point):
                    point = _moved(point, i, way)
        if point == before or enough():
            break
    return point


def _mean_exponent(score: Callable[[_Exponents], float], top: _Exponents, i: int, exponents: tuple[int, int]) -> float:
    """Return the mean of one exponent under its posterior near the top, the others being as there."""
    total, weights = top[i], 1.0
    for way in (-1, 1):
        point, weight = _moved(top, i, way), 1.0
        while exponents[0] <= point[i] <= exponents[1] and weight > _LEAST_WEIGHT:
            weight = math.exp(min(score(point) - score(top), 0.0))
            total, weights = total + weight * point[i], weights + weight
            point = _moved(point, i, way)
    return total / weights


def _moved(point: _Exponents, i: int, by: int) -> _Exponents:
    return (*point[:i], point[i] + by, *point[i + 1 :])
