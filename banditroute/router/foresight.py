"""Look ahead to what may follow a first answer: a signal, and a call of another arm."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.router.candidates import Candidates

_LATEST_ANSWERS = 300  # that a channel is made of
_MIN_ANSWERS = 30  # before a channel is made
_RENEWED_EVERY = 20  # answers
_MOST_LEVELS = 3
_USED_SHARE = 0.5  # of the latest decisions that were followed by a step, before first choices count on it
_MEMORY = 0.98  # of that share, with each step
_LEAST_EXPECTED = 0.02  # quality of an arm: signals cannot move an expectation of 0


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


class Foresight:
    """Adds to the utility of a first choice what may follow it. Not thread-safe: the engine holds a lock.

    It does so once most decisions are followed by ``next_step()`` or ``escalate()``. Until then, and in a router that
    is used without them, it does nothing.

    Attributes
    ----------
    channel
        What signals are expected to say of an answer.
    """

    def __init__(self) -> None:
        self.channel: Channel = SILENT
        self._share = 0.0
        self._decided = 0
        self._answers: deque[tuple[float, float]] = deque(maxlen=_LATEST_ANSWERS)
        self._new = 0

    @property
    def active(self) -> bool:
        """True if first choices take into account what may follow them."""
        return self._share >= _USED_SHARE

    def note_step(self, decided: int) -> None:
        """Note that a step follows a decision, after ``decided`` decisions of the router in all."""
        since, self._decided = max(decided - self._decided, 1), decided
        self._share = _MEMORY * self._share + (1.0 - _MEMORY) / since

    def note_answer(self, expected: float, log_odds: float) -> None:
        """Note the expected quality of an answer without its signals, and the log odds that these add."""
        self._answers.append((expected, log_odds))
        self._new += 1
        if self._new >= _RENEWED_EVERY and len(self._answers) >= _MIN_ANSWERS:
            self._new = 0
            self.channel = channel_of(*np.array(self._answers).T)

    def look_ahead(self, candidates: Candidates, preference: Preference) -> Candidates:
        """Return candidates whose utilities include what a second call may add."""
        weight, positions = preference.get("quality", 0.0), candidates.eligible
        if weight <= 0.0 or len(candidates.positions) < 2:
            return candidates
        expected, utilities = candidates.expected("quality"), candidates.utilities
        if positions is None:
            return candidates.penalized(-worth_of_second_call(expected, utilities, weight, self.channel))
        gains = np.zeros(len(utilities))
        gains[positions] = worth_of_second_call(expected[positions], utilities[positions], weight, self.channel)
        return candidates.penalized(-gains)


def worth_of_second_call(expected: Vector, utilities: Vector, weight: float, channel: Channel) -> Vector:
    """Return what may follow an answer of each arm: asking the best other arm where that is worth more ``(K,)``.

    Parameters
    ----------
    expected
        Expected quality of each arm ``(K,)``.
    utilities
        Utility of each arm, with its price ``(K,)``; at least two arms.
    weight
        Weight of quality.

    Examples
    --------
    The second arm costs .3. A verifier that is always right saves that call for three of five requests, and makes the
    first arm worth .6 + .4 * (.9 - .3) = .84:

    >>> sure = Channel(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    >>> worth_of_second_call(np.array([0.6, 0.9]), np.array([0.6, 0.6]), 1.0, sure).round(2)
    array([0.24, 0.06])
    """
    share = np.minimum(np.maximum(expected, _LEAST_EXPECTED), 1.0 - _LEAST_EXPECTED)
    order = utilities.argsort()
    of_other = np.full(len(utilities), utilities[order[-1]])
    of_other[order[-1]] = utilities[order[-2]]
    good = channel.of_right[:, None] * share  # right, and looks like l
    looks = good + channel.of_wrong[:, None] * (1.0 - share)
    worth: Vector = np.maximum(looks * of_other - weight * good, 0.0).sum(axis=0)
    return worth


def channel_of(expected: np.ndarray, log_odds: np.ndarray) -> Channel:
    """Return what signals say of answers, from those that were seen.

    Parameters
    ----------
    expected
        Expected quality of each answer without its signals, in [0, 1] ``(n,)``.
    log_odds
        What its signals add ``(n,)``.

    Examples
    --------
    >>> seen = channel_of(np.full(4, 0.5), np.array([-9.0, 9.0, 9.0, -9.0]))
    >>> seen.of_right.round(2), seen.of_wrong.round(2)
    (array([0., 1.]), array([1., 0.]))
    """
    share = np.clip(expected, 0.02, 0.98)
    right = 1.0 / (1.0 + (1.0 - share) / share * np.exp(-log_odds))
    kinds, which = np.unique(np.round(2.0 * log_odds), return_inverse=True)
    masses = np.bincount(which).tolist()
    groups = [[k] for k in range(len(kinds))]
    while len(groups) > _MOST_LEVELS:  # the two neighbours with the least mass become one
        sums = [sum(masses[k] for k in pair) for pair in (a + b for a, b in pairwise(groups))]
        at = sums.index(min(sums))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    level = np.empty(len(kinds), dtype=np.intp)
    for number, members in enumerate(groups):
        level[members] = number
    of = level[which]
    good = np.bincount(of, weights=right, minlength=len(groups)) + 1e-6
    bad = np.bincount(of, weights=1.0 - right, minlength=len(groups)) + 1e-6
    return Channel(good / good.sum(), bad / bad.sum())
