"""Learn how much each feature block matters, by maximizing the evidence of the outcomes (empirical Bayes).

A hybrid belief has two prior precisions for each block of features: one for each arm's own weights (``own``), and one
for the weights that all arms share (``shared``). Each is ``4^exponent`` times the usual precision, with one exponent
for each block. A block that does not matter gets high exponents. Specialist arms get a low ``own`` exponent.

The evidence of n outcomes of K arms, with all weights and one noise for all arms integrated out, is

    log p(y) = const - 1/2 (sum_k log det A_k / det Lambda + log det P / det Lambda_s)
                     - (nu + n) / 2 log(nu noise0^2 + R)
    R = sum_k rss_0,k + b0' Lambda_s b0 - r' P^-1 r

in the notation of :mod:`banditroute.beliefs.hybrid`: the density of a Student distribution with ``nu`` degrees of
freedom (Bishop 2006, "Pattern recognition and machine learning", sections 2.3.7 and 3.5.1). The log prior of each
exponent falls by ``_NATS_PER_STEP`` for every step away from 0. The search improves one exponent after the other. The
result is the posterior mean of each exponent near the maximum, so it changes smoothly with the outcomes.

The first choice is made at 200 outcomes, then at every factor of 1.5 up to 2,278, then at every doubling. All choices
together cost about 1 microsecond per outcome in the long run. A choice depends on the statistics alone, not on the
order of the outcomes. Processes share it: see :class:`Choices`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.errors import IncompatibleStoreError

MOST_ARMS = 8
"""Number of arms that a choice uses: those with the most outcomes. More arms do not make a choice slower."""

_FIRST_CHOICE_OUTCOMES = 200
_EARLY_CHOICES = 6  # choices at a factor of 1.5 in the outcomes; later ones follow at a factor of 2
_PRECISION_FACTOR_PER_EXPONENT = 4.0
_OWN_EXPONENTS, _SHARED_EXPONENTS = (-12, 4), (-4, 6)
_NATS_PER_STEP = 3.0
_MOST_SEARCH_ROUNDS = 3  # each round tries all exponents
_MOST_EVALUATIONS = 64  # of the evidence in one search
_FITS_KEPT = 8  # of all arms, each at other `own` exponents: a fit holds a (p, p) matrix
_LEAST_NEIGHBOUR_WEIGHT = 0.02  # the mean of an exponent ends at the first neighbour with less posterior weight
_FULL_EXPLORATION_EXPONENT = -2.0  # `own` exponent at which all uncertainty about a context is explored

_Exponents: TypeAlias = tuple[float, ...]


class Relevance(NamedTuple):
    """The relevance of each feature block to one objective.

    Attributes
    ----------
    own, shared
        For each block, the exponent of the prior precision of an arm's own weights, and of the shared weights.
    """

    own: _Exponents
    shared: _Exponents

    def scale(self, precision: Vector, shared_precision: Vector, columns: Sequence[int]) -> None:
        """Multiply the usual precisions, ``(d,)`` and ``(p,)``, in place."""
        features = len(precision) - 1
        base = _PRECISION_FACTOR_PER_EXPONENT
        precision[:-1] *= np.repeat(base ** np.array(self.own, dtype=float), columns)
        shared_precision[:features] *= np.repeat(base ** np.array(self.shared, dtype=float), columns)

    def explored_share(self, blocks: Sequence[FeatureBlock]) -> float:
        """Return the share of the uncertainty about a context that is always explored, in [0, 1].

        The share is 0 if arms hardly differ by context: then acting on the best prediction explores contexts by itself.
        The share is 1 if the variance of an arm's own weights is 16 times the usual one: specialists need every
        context explored. Blocks are averaged by their prior variance.
        """
        variances = [
            _PRECISION_FACTOR_PER_EXPONENT**-own * block.strength for own, block in zip(self.own, blocks, strict=True)
        ]
        shares = [min(1.0, (min(own, 0.0) / _FULL_EXPLORATION_EXPONENT) ** 2) for own in self.own]
        return float(np.dot(variances, shares) / sum(variances))


class Choices(NamedTuple):
    """The hyperparameters that a belief has learned. They are stored, so that restarts and other processes share them.

    Attributes
    ----------
    made
        Number of choices that were due by the outcomes.
    relevance
        Objective -> relevance of each block.
    nats
        Objective -> log evidence for using the features, and for letting arms differ by them; see :func:`gains`.
    """

    made: int = 0
    relevance: Mapping[str, Relevance] = {}
    nats: Mapping[str, tuple[float, float]] = {}

    def to_bytes(self) -> bytes:
        """Return JSON which :meth:`from_bytes` reads."""
        content = {"count": self.made, "relevance": self.relevance, "nats": self.nats}
        return json.dumps(content, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, blob: bytes | None, *, blocks: int) -> Choices:
        """Read what :meth:`to_bytes` wrote; None, or another number of blocks, gives empty choices.

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
            nats = {str(name): (float(one), float(other)) for name, (one, other) in content.get("nats", {}).items()}
            count = int(content["count"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IncompatibleStoreError(
                f"the stored choices of a belief are damaged ({error}); restore the database from a backup, or use "
                "another router name"
            ) from error
        same = all(len(each.own) == len(each.shared) == blocks for each in relevance.values())
        return cls(count, relevance, nats) if same else cls()


def outcomes_due(count: int) -> float:
    """Return how many outcomes the ``count``-th choice needs, minus a billionth so that rounding cannot delay it.

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
    """Return how many choices are due at this number of outcomes.

    Examples
    --------
    >>> [choices_due(outcomes) for outcomes in (199, 200, 299, 300, 450)]
    [0, 1, 1, 2, 3]
    """
    return next(count for count in itertools.count() if outcomes < outcomes_due(count + 1))


class Evidence(NamedTuple):
    """The sums of one objective that give the evidence of any precisions.

    Attributes
    ----------
    s : (K, d, d)
        ``sum w x x'`` of each arm that was observed.
    b : (K, d)
        ``sum w y x``.
    yy
        ``sum w y^2`` over all arms.
    n
        Total weight of the outcomes.
    z : (K, q)
        Descriptors of the arms.
    begin : (p,)
        Prior mean of the shared weights.
    noise, strength
        Prior guess of the noise, and the number of observations that it counts as.
    """

    s: Vector
    b: Vector
    yy: float
    n: float
    z: Vector
    begin: Vector
    noise: float
    strength: float

    def fit(self, precision: Vector) -> ArmFits | None:
        """Fit every arm, given the diagonal of ``Lambda (d,)``; return None if rounding has lost the prior."""
        from scipy.linalg import lapack  # imported late: it is slow to import

        k, d = self.b.shape
        own, bias = np.empty((k, d)), np.empty((k, d))
        inverses = np.zeros((d, d), order="F")
        log_det = -k * float(np.log(precision).sum())
        for i in range(k):
            a = self.s[i].copy()
            a.flat[:: d + 1] += precision
            # The transpose of a symmetric matrix is the matrix, in the order of LAPACK: it need not be copied.
            factor, failed = lapack.dpotrf(a.T, lower=1, clean=0, overwrite_a=1)
            if failed:
                return None
            log_det += 2.0 * float(np.log(factor.diagonal()).sum())
            own[i] = lapack.dpotrs(factor, self.b[i], lower=1)[0]
            inverse = lapack.dpotri(factor, lower=1, overwrite_c=1)[0]  # its lower triangle
            inverses += inverse
            bias[i] = inverse[-1]
        inverses = np.tril(inverses) + np.tril(inverses, -1).T
        rss = self.yy - float(np.vdot(own, self.b))
        q = self.z.shape[1]
        information, right = np.zeros((d + q, d + q)), np.empty(d + q)
        information[:d, :d] = k * np.diag(precision) - precision[:, None] * inverses * precision
        right[:d] = precision * own.sum(axis=0)
        if q:
            bias *= -precision[-1] * precision  # the last column of each M_k
            bias[:, -1] += precision[-1]
            information[:d, d:] = bias.T @ self.z
            information[d:, :d] = information[:d, d:].T
            information[d:, d:] = (self.z.T * bias[:, -1]) @ self.z
            right[d:] = precision[-1] * (own[:, -1] @ self.z)
        return ArmFits(log_det, rss, information, right)

    def log(self, fits: ArmFits | None, shared_precision: Vector) -> float:
        """Return ``log p(y)`` up to a constant, given the fits of the arms and the diagonal of ``Lambda_s (p,)``."""
        from scipy.linalg import lapack

        if fits is None:
            return -math.inf
        p = fits.information.copy()
        p.flat[:: len(p) + 1] += shared_precision
        right = fits.right + shared_precision * self.begin
        factor, failed = lapack.dpotrf(p.T, lower=1, overwrite_a=1)
        if failed:
            return -math.inf
        rss = fits.rss + float(shared_precision @ np.square(self.begin))
        rss -= float(right @ lapack.dpotrs(factor, right, lower=1)[0])
        log_det = fits.log_det + 2.0 * float(np.log(factor.diagonal()).sum()) - float(np.log(shared_precision).sum())
        scale = self.strength * self.noise * self.noise + max(rss, 0.0)
        return float(-0.5 * (log_det + (self.strength + self.n) * math.log(scale)))


class ArmFits(NamedTuple):
    """What the evidence needs of all arms at one ``Lambda``, whatever ``Lambda_s``: most of the work.

    Attributes
    ----------
    log_det
        ``sum_k log det A_k / det Lambda``.
    rss
        ``sum_k rss_0,k``.
    information : (p, p)
        ``sum_k E_k' M_k E_k``, which with ``Lambda_s`` makes ``P``.
    right : (p,)
        ``sum_k E_k' Lambda theta_0,k``, which with ``Lambda_s b0`` makes ``r``.
    """

    log_det: float
    rss: float
    information: Vector
    right: Vector


def choose(
    evidence: Evidence, precision: Vector, shared_precision: Vector, blocks: Sequence[FeatureBlock]
) -> Relevance:
    """Return the relevance of each block by the evidence and the prior of the exponents.

    Parameters
    ----------
    precision, shared_precision
        The usual precisions, with all exponents 0: diagonals of ``Lambda (d,)`` and ``Lambda_s (p,)``.
    """
    log = _log_evidence(evidence, precision, shared_precision, blocks)
    ranges = [_OWN_EXPONENTS] * len(blocks) + [_SHARED_EXPONENTS] * len(blocks)
    known: dict[_Exponents, float] = {}

    def score(point: _Exponents) -> float:
        if point not in known:
            found = Relevance(point[: len(blocks)], point[len(blocks) :])
            known[point] = log(found) - _NATS_PER_STEP * sum(map(abs, point))
        return known[point]

    top = _climb(score, (0.0,) * len(ranges), ranges, enough=lambda: len(known) >= _MOST_EVALUATIONS)
    means = tuple(_mean_exponent(score, top, i, each) for i, each in enumerate(ranges))
    return Relevance(means[: len(blocks)], means[len(blocks) :])


def gains(
    evidence: Evidence,
    relevance: Relevance,
    precision: Vector,
    shared_precision: Vector,
    blocks: Sequence[FeatureBlock],
) -> tuple[float, float]:
    """Return the log evidence in nats for using the features, and for letting arms differ by them.

    Both are the evidence of ``relevance`` less that of the largest precisions: of all weights of the features, and of
    each arm's own ones. The other parameters are those of :func:`choose`.
    """
    log = _log_evidence(evidence, precision, shared_precision, blocks)
    alike = Relevance((float(_OWN_EXPONENTS[1]),) * len(blocks), relevance.shared)
    unused = Relevance(alike.own, (float(_SHARED_EXPONENTS[1]),) * len(blocks))
    chosen = log(relevance)
    return chosen - log(unused), chosen - log(alike)


def _log_evidence(
    evidence: Evidence, precision: Vector, shared_precision: Vector, blocks: Sequence[FeatureBlock]
) -> Callable[[Relevance], float]:
    """Return the log evidence as a function of the relevance; the other parameters are those of ``choose``."""
    columns = [block.columns for block in blocks]

    def scaled(relevance: Relevance) -> tuple[Vector, Vector]:
        own, shared = precision.copy(), shared_precision.copy()
        relevance.scale(own, shared, columns)
        return own, shared

    @lru_cache(maxsize=_FITS_KEPT)
    def fits(own: _Exponents) -> ArmFits | None:
        return evidence.fit(scaled(Relevance(own, (0.0,) * len(own)))[0])

    return lambda relevance: evidence.log(fits(relevance.own), scaled(relevance)[1])


def _climb(
    score: Callable[[_Exponents], float],
    point: _Exponents,
    ranges: Sequence[tuple[int, int]],
    enough: Callable[[], bool],
) -> _Exponents:
    """Climb from ``point`` and return the exponents where no single step raises the score, or where ``enough()``."""
    for _ in range(_MOST_SEARCH_ROUNDS):
        before = point
        for i, (low, high) in enumerate(ranges):
            for way in (-1, 1):
                while low <= point[i] + way <= high and not enough() and score(_moved(point, i, way)) > score(point):
                    point = _moved(point, i, way)
        if point == before or enough():
            break
    return point


def _mean_exponent(score: Callable[[_Exponents], float], top: _Exponents, i: int, exponents: tuple[int, int]) -> float:
    """Return the posterior mean of one exponent near the maximum, with the others fixed at the maximum."""
    total, weights = top[i], 1.0
    for way in (-1, 1):
        point, weight = _moved(top, i, way), 1.0
        while exponents[0] <= point[i] <= exponents[1] and weight > _LEAST_NEIGHBOUR_WEIGHT:
            weight = math.exp(min(score(point) - score(top), 0.0))
            total, weights = total + weight * point[i], weights + weight
            point = _moved(point, i, way)
    return total / weights


def _moved(point: _Exponents, i: int, by: int) -> _Exponents:
    return (*point[:i], point[i] + by, *point[i + 1 :])
