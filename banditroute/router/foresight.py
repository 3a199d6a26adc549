"""The steps that may follow a first answer: signals, other arms, a better answer. The first choice counts on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.graders.evidence import Evidence
from banditroute.router.candidates import Candidates
from banditroute.router.outlook import SILENT, Channel, corrected, outlook, worth_of_asking
from banditroute.router.requests import NothingToAskError

_LATEST_ANSWERS = 300  # that a channel is made of
_MIN_ANSWERS = 30
_RENEWED_EVERY = 20  # answers
_MOST_LEVELS = 3
_USED_SHARE = 0.5  # of the latest decisions that were followed by a step, before first choices count on it
_MEMORY = 0.98  # of that share, with each step


class Foresight:
    """Adds to the utility of a first choice what may follow it. Not thread-safe: the engine holds a lock.

    It does so once most decisions are followed by ``next_step()`` or ``escalate()``. Until then, and in a router that
    is used without them, it does nothing.

    Parameters
    ----------
    evidence
        Knows by how much the models are biased.

    Attributes
    ----------
    channel
        What signals are expected to say of an answer.
    keeps
        Whether an earlier answer can still be delivered after a later one was asked.
    """

    def __init__(self, *, evidence: Evidence) -> None:
        self._evidence = evidence
        self.channel: Channel = SILENT
        self.keeps: bool = True
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

    def biases(self, arms: Sequence[str]) -> Vector:
        """Return the log odds to be added to what the models expect of the answers of ``arms`` ``(K,)``."""
        return np.array([self._evidence.bias(arm) for arm in arms])

    def look_ahead(self, candidates: Candidates, preference: Preference) -> Candidates:
        """Return candidates whose utilities include what may follow."""
        weight = preference.get("quality", 0.0)
        if weight <= 0.0 or len(candidates.positions) < 2:
            return candidates
        predicted = candidates.expected("quality")
        expected = corrected(predicted, self.biases(candidates.arms))
        rest = candidates.utilities - weight * predicted
        seen = outlook(expected, [], [])
        allowed = list(candidates.positions)
        worth = worth_of_asking(seen, self.channel, weight, rest, allowed, None)
        gains = np.zeros(len(worth))
        gains[allowed] = worth[allowed] - candidates.utilities[allowed]
        return candidates.penalized(-gains)


def check_further_call(candidates: Candidates) -> None:
    """Raise NothingToAskError if every arm would break a limit or a budget: a further call is not worth that."""
    trouble = candidates.uncovered or candidates.overruled
    if trouble is not None:
        raise NothingToAskError(trouble)


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
