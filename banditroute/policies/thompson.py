"""Thompson sampling: choose each arm with the posterior probability that it is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import check_floor, greedy, with_floor

_MOST_STDS_FROM_MEAN = np.array(4.0)  # the tail beyond, of probability 3e-5, is ignored
_FEW_ARMS = 12
_STEP_STDS, _STEP_STDS_OF_MANY = 0.8, 0.6  # of even steps; the best of more than _SOME_ARMS varies less than each arm
_SOME_ARMS = 16
_LEAST_EVEN_STEPS, _MOST_EVEN_STEPS = 16, 80  # where more were needed for few arms, uneven steps take less time
_MOST_CELLS = 16_384  # arms times even steps: uneven steps tell many narrow arms apart less well
_NODES = 96  # of the uneven grid of a few arms, divided among them; at least _LEAST_NODES_PER_ARM for each
_LEAST_NODES_PER_ARM = 8
_COARSE_STEPS, _FINE_STEPS = np.linspace(0.0, 1.0, 32), np.linspace(0.0, 2.0, 64)
_TINY_STD = 1e-150  # below it, squares underflow
# Arrays without a dimension: numpy takes longer to convert a float than to multiply some hundred numbers by it.
_ONE, _LINEAR, _THRICE_CUBIC = np.array(1.0), np.array(1.5976), np.array(0.21168)
_MINUS_LINEAR, _MINUS_CUBIC = np.array(-1.5976), np.array(-0.07056)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson:
    """The policy that chooses each arm with the posterior probability that it is best, mixed with an exploration floor.

    Thompson sampling draws the weights of every arm and takes the best arm. At one context this draws independent
    Gaussian utilities ``N(mean, (scale x std)^2)`` (Agrawal and Goyal 2013, algorithm 1, with ``v = scale x sigma``).
    This class computes the probability that each arm wins. The router draws the arm from these probabilities, so the
    logged propensity is exact.

    Parameters
    ----------
    scale
        Factor on every standard deviation, at least 0: 1 samples the posterior itself, 0 is greedy.
    floor
        Share of requests distributed evenly over all eligible arms, in [0, 1].

    Examples
    --------
    >>> Thompson(scale=1.0, floor=0.0).probabilities(
    ...     np.array([0.5, 0.5]), np.array([0.1, 0.3]), arms=["a", "b"], information=lambda: np.zeros(2)
    ... ).round(2)
    array([0.5, 0.5])
    """

    scale: float = 0.8
    floor: float = 0.005

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_floor(self.floor)
        number(self.scale, name="scale", low=0.0, error=InvalidConfigurationError)

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        return with_floor(best_probabilities(means, self.scale * stds), self.floor)


def best_probabilities(means: Vector, stds: Vector) -> Vector:
    """Return ``P(arm k is the largest)`` of independent Gaussians ``(K,)``, by quadrature; certain arms share ties.

    With the distribution functions ``F_k``, ``P(k is best) = integral of prod_{j != k} F_j dF_k``. All arms that can
    win share one grid, so time is linear in their number. Two arms are computed exactly, from their difference.

    Where their standard deviations are similar, the grid has even steps, of a part of the least of them. The
    trapezoidal rule is then exact but for the approximation of ``F``: within 0.001, or 0.003 for hundreds of arms.
    Otherwise the grid holds quantiles of every arm (up to 12 arms) or of the best utility. Each cell adds its increase
    of ``F_k`` times the mean of the product at its two ends. That is within 0.003 for up to 12 arms. With more arms and
    standard deviations that differ by more than about ``1,500 / K`` times, the error may reach 0.1, and 0.4 where they
    differ a thousand times.

    Parameters
    ----------
    means, stds
        Mean and standard deviation of each arm ``(K,)``; an arm with standard deviation 0 is certain.

    Examples
    --------
    >>> best_probabilities(np.array([0.0, 1.0]), np.array([1.0, 0.0])).round(2)  # 1 - Phi(1) = 0.16
    array([0.16, 0.84])
    """
    scale = stds[stds.argmax()]  # of small arrays, faster than max()
    if scale == 0.0:
        return greedy(means)
    if scale < _TINY_STD:
        with np.errstate(over="ignore"):
            means, stds, scale = (means - means.max()) / scale, stds / scale, 1.0
    if stds[stds.argmin()] < 1e-6 * scale:  # a certain arm, of which the grid would miss the step between its nodes
        stds = np.maximum(stds, 1e-6 * scale)
    reach = stds * _MOST_STDS_FROM_MEAN
    lows = means - reach
    lowest = lows[lows.argmax()]  # some arm is almost surely above it
    highs = np.add(means, reach, out=reach)
    able = (highs >= lowest).nonzero()[0]
    if len(able) == 1:
        return greedy(highs)
    highest = highs[highs.argmax()]
    if len(able) == len(means):
        return _best(means, stds, lowest, highest)
    result = np.zeros(len(means))
    result[able] = _best(means[able], stds[able], lowest, highest)
    return result


def _best(means: Vector, stds: Vector, lowest: float, highest: float) -> Vector:
    """Return ``best_probabilities`` of two arms or more that can win, by quadrature from ``lowest`` to ``highest``."""
    count = len(means)
    if count == 2:
        worse = math.erfc((means[0] - means[1]) / (math.sqrt(2.0) * math.hypot(*stds))) / 2.0
        return np.array([1.0 - worse, worse])
    step = stds[stds.argmin()] * (_STEP_STDS if count <= _SOME_ARMS else _STEP_STDS_OF_MANY)
    steps = (highest - lowest) / step
    if steps <= _MOST_EVEN_STEPS or (count > _FEW_ARMS and count * steps <= _MOST_CELLS):
        grid = lowest + (highest - lowest) * _even_steps(max(math.ceil(steps), _LEAST_EVEN_STEPS))
        share = _even_shares(grid, means[:, None], stds[:, None])
    else:
        grid = _grid_of_few(means, stds, lowest) if count <= _FEW_ARMS else _grid_of_many(means, stds, lowest)
        share = _uneven_shares(grid, means[:, None], stds[:, None])
    share /= np.add.reduce(share)
    return share


def _even_shares(grid: Vector, means: Vector, stds: Vector) -> Vector:
    """Return what each arm's probability is proportional to ``(K,)``, by the trapezoidal rule on even steps.

    The approximate distribution function ``F = 1 / (1 + exp(-u))`` has the density ``F (1 - F) du/dx``, which is
    divided by ``F`` and multiplied by the product of all ``F``.
    """
    z = grid - means
    z /= stds
    squares = z * z
    below = _normal_cdf(z, squares)
    slopes = np.multiply(squares, _THRICE_CUBIC, out=squares)
    slopes += _LINEAR  # du/dz
    best = np.multiply.reduce(below, axis=0)
    np.subtract(_ONE, below, out=below)
    below *= slopes
    shares: Vector = below.dot(best)
    shares /= stds[:, 0]
    return shares


def _uneven_shares(grid: Vector, means: Vector, stds: Vector) -> Vector:
    """Return what each arm's probability is proportional to ``(K,)``, by the increases of its distribution function."""
    z = grid - means
    z /= stds
    below = _normal_cdf(z, z * z)
    below[:, -1] = 1.0
    increases = below[:, 1:] - below[:, :-1]
    others = np.divide(np.multiply.reduce(below, axis=0), below, out=below)  # in place: new memory is slow
    shares: Vector = np.einsum("kn,kn->k", increases, others[:, 1:])
    shares += np.einsum("kn,kn->k", increases, others[:, :-1])
    return shares


def _grid_of_few(means: Vector, stds: Vector, lowest: float) -> Vector:
    """Return quantiles of every arm from ``lowest`` on, so that narrow and wide arms are resolved alike."""
    grid: Vector = (means[:, None] + stds[:, None] * _quantiles(len(means))).ravel()
    np.maximum(grid, lowest, out=grid)
    grid.sort()
    return grid


def _grid_of_many(means: Vector, stds: Vector, lowest: float) -> Vector:
    """Return nodes at nearly even steps of the distribution function of the best utility, by a coarse grid."""
    highest = float((means + _MOST_STDS_FROM_MEAN * stds).max())
    coarse = lowest + (highest - lowest) * _COARSE_STEPS
    z = (coarse - means[:, None]) / stds[:, None]
    best = np.multiply.reduce(_normal_cdf(z, z * z), axis=0)
    best[0], best[-1] = 0.0, 1.0
    # Half of the steps are even in probability, the other half in utility, so that no cell is wide.
    return np.interp(_FINE_STEPS, _COARSE_STEPS + best, coarse)


def _normal_cdf(z: Vector, squares: Vector) -> Vector:
    """Approximate ``Phi(z)`` within 0.00014, in half the time of the exact function; ``squares`` are ``z * z``.

    The formula is ``1 / (1 + exp(-1.5976 z - 0.07056 z^3))`` (Bowling et al. 2009, "A logistic approximation to the
    cumulative normal distribution"). It is itself a distribution function, so the results are probabilities.
    """
    power: Vector = squares * _MINUS_CUBIC
    power += _MINUS_LINEAR
    power *= z
    np.exp(power, out=power)
    power += _ONE
    below: Vector = np.divide(_ONE, power, out=power)
    return below


@lru_cache(maxsize=128)
def _even_steps(count: int) -> Vector:
    steps: Vector = np.linspace(0.0, 1.0, count + 1)
    steps.flags.writeable = False  # shared by all callers
    return steps


@lru_cache(maxsize=64)
def _quantiles(count: int) -> Vector:
    """Return nodes of ``count`` arms in standard deviations, interleaved so that equal arms have different nodes."""
    each = max(_LEAST_NODES_PER_ARM, _NODES // count)
    steps = np.linspace(-_MOST_STDS_FROM_MEAN, _MOST_STDS_FROM_MEAN, each * count)
    nodes: Vector = np.ascontiguousarray(steps.reshape(each, count).T)
    nodes.flags.writeable = False  # shared by all callers
    return nodes
