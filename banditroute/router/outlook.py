"""The outlook of one request: how good each arm's answer is expected to be, given the signals seen so far.

A request is easier or harder than its context says, for all arms together: arm k is right with probability
``sigmoid(a_k + t)``, where ``t`` is normal with standard deviation ``SHARED_STD`` and ``a_k`` is such that the mean is
what the models predict (a Rasch model). The signals of an answer multiply the odds that it is right. So a bad-looking
answer speaks against its arm, and a little against every other arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector

SHARED_STD = 1.5
"""Standard deviation of what makes a request easier for all arms, in log odds."""
_NODES = np.linspace(-2.25, 2.25, 7)
_WEIGHTS = np.exp(-0.5 * _NODES**2)
_WEIGHTS /= _WEIGHTS.sum()
_SHIFTS = SHARED_STD * _NODES
_STRETCH = (1.0 + np.pi * SHARED_STD**2 / 8.0) ** 0.5
_LEAST, _MOST = 0.02, 0.98  # of an expected quality, so that evidence can speak against it


class Channel(NamedTuple):
    """Expected signals of an answer: L kinds of evidence, and how often each is seen of right and wrong answers.

    Attributes
    ----------
    of_right, of_wrong : (L,)
        Probabilities that sum to 1.
    """

    of_right: Vector
    of_wrong: Vector


SILENT = Channel(np.ones(1), np.ones(1))
"""No signals are expected."""


class Outlook(NamedTuple):
    """Expected qualities of K arms over Z shifts of the request's ease.

    Attributes
    ----------
    belief : (Z,)
        Probability of each shift, given the signals so far.
    right : (K, Z)
        Probability that a new answer of an arm is right at a shift.
    seen : (n, Z)
        Probability that each answer that was seen is right at a shift.
    """

    belief: Vector
    right: Vector
    seen: Vector

    @property
    def qualities(self) -> Vector:
        """Expected quality of a new answer of each arm ``(K,)``."""
        expected: Vector = self.right @ self.belief
        return expected

    @property
    def seen_qualities(self) -> Vector:
        """Expected quality of each answer that was seen ``(n,)``."""
        expected: Vector = self.seen @ self.belief
        return expected


def corrected(expected: Vector, biases: Vector) -> Vector:
    """Return expected qualities ``(K,)``, kept away from 0 and 1, with these log odds added.

    Examples
    --------
    >>> corrected(np.array([0.5, 1.2]), np.array([1.0, 0.0])).round(2)
    array([0.73, 0.98])
    """
    share = np.clip(expected, _LEAST, _MOST)
    moved: Vector = share / (share + (1.0 - share) * np.exp(-biases))
    return moved


def outlook(expected: Vector, asked: Sequence[int], log_odds: Sequence[float]) -> Outlook:
    """Return the outlook after some answers.

    Parameters
    ----------
    expected
        Expected quality of every arm before any answer ``(K,)``.
    asked
        Positions of the arms that answered.
    log_odds
        What the signals of each of these answers add to the log odds that it is right.

    Examples
    --------
    >>> before = outlook(np.array([0.6, 0.9]), [], [])
    >>> before.qualities.round(1)
    array([0.6, 0.9])
    >>> after = outlook(np.array([0.6, 0.9]), [0], [-3.0])
    >>> bool(after.seen_qualities[0] < 0.1), bool(after.qualities[1] < 0.9)
    (True, True)
    """
    share = np.clip(expected, _LEAST, _MOST)
    right = 1.0 / (1.0 + np.exp(-(_STRETCH * np.log(share / (1.0 - share)))[:, None] - _SHIFTS))
    if not len(asked):
        return Outlook(_WEIGHTS, right, np.empty((0, len(_NODES))))
    prior = right[list(asked)]
    odds = np.exp(log_odds)[:, None]
    likelihood = 1.0 - prior + odds * prior
    belief = _WEIGHTS * likelihood.prod(axis=0)
    return Outlook(belief / belief.sum(), right, odds * prior / likelihood)


def worth_of_asking(
    seen: Outlook, channel: Channel, weight: float, rest: Vector, allowed: Sequence[int], kept: Vector | None
) -> Vector:
    """Return the expected utility of asking each arm next, and then doing what is best ``(K,)``.

    After the answer and its signals one may deliver it, deliver the best answer before it, or ask one arm more and
    deliver the best of all. What may follow after that is left out.

    Parameters
    ----------
    seen
        The outlook so far.
    channel
        What signals will say of the next answers.
    weight
        Weight of quality.
    rest
        Utility of calling each arm apart from quality, such as its price ``(K,)``.
    allowed
        Positions of the arms that may be asked.
    kept
        Probability that the best answer so far is right at each shift ``(Z,)``; None if no answer is kept.

    Examples
    --------
    A call of the second arm costs .3. A verifier that is always right makes the first arm worth more than either alone:

    >>> sure = Channel(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    >>> start = outlook(np.array([0.6, 0.9]), [], [])
    >>> worth_of_asking(start, sure, 1.0, np.array([0.0, -0.3]), [0, 1], None).round(2)
    array([0.82, 0.64])
    """
    belief, right = seen.belief, seen.right[list(allowed)]  # (k, Z)
    cost = rest[list(allowed)]
    good = right[:, None, :] * channel.of_right[None, :, None]  # right, and looks like l
    looks = good + (1.0 - right)[:, None, :] * channel.of_wrong[None, :, None]  # looks like l
    k, levels, shifts = looks.shape
    joint, joint_good = looks * belief, good * belief
    now = joint_good.sum(axis=2)
    if kept is not None:
        now = np.maximum(now, joint @ kept)
    by_shift = joint.reshape(k * levels, shifts)
    then = by_shift @ good.reshape(k * levels, shifts).T  # (kl, jm): a further answer is right, and looks like m
    of_first = joint_good.reshape(k * levels, shifts) @ looks.reshape(k * levels, shifts).T
    if kept is not None:
        of_kept = (by_shift * kept) @ looks.reshape(k * levels, shifts).T
        np.maximum(of_first, of_kept, out=of_first)
    best = np.maximum(then, of_first).reshape(k, levels, k, levels).sum(axis=3)  # (k, l, j)
    further = weight * best + joint.sum(axis=2)[:, :, None] * cost
    each = np.arange(k)
    further[each, :, each] = -np.inf
    worth = np.full(len(rest), -np.inf)
    worth[list(allowed)] = cost + np.maximum(weight * now, further.max(axis=2)).sum(axis=1)
    return worth
