"""The turns that a session still takes, learned from the sessions before it."""

from __future__ import annotations

from collections.abc import Sequence

_RANGES = 12  # turns 1, 2, 3-4, 5-8, ..., beyond 1024
_PRIOR_TURNS = 4.0  # that a range of turns is worth before any session reached it
_PRIOR_CONTINUED = 0.8  # of these turns, another followed
_PRIOR_KEPT = 0.8  # of these turns, the next one went to the same arm
_MOST_TURNS = 1000.0  # a session is never expected to take more
_KEPT_TURNS = 64  # for which an expectation is kept: it changes slowly, and a request must not wait for it

SIZE = 3 * _RANGES
"""Length of the counts: turns reached, turns continued, turns that kept their arm, each by range."""


class Horizon:
    """Counts of turns, of turns that another followed, and of those that the same arm served.

    Counts are sums, so those of many processes add up.

    Examples
    --------
    >>> horizon = Horizon()
    >>> round(horizon.turns_to_come(1), 1)  # before any session: .8 / (1 - .8)
    4.0
    >>> for _ in range(100):  # sessions of one turn
    ...     horizon.reach(1)
    >>> round(horizon.turns_to_come(1), 2)  # .8 x 4 of the 100 + 4 turns were continued
    0.15
    """

    def __init__(self, counts: Sequence[float] = ()) -> None:
        self.counts: list[float] = list(counts) or [0.0] * SIZE
        self._to_come: dict[int, tuple[float, float]] = {}
        self._new_turns = 0

    def reach(self, turn: int) -> None:
        """Count a session that takes its turn of that number, from 1."""
        self.counts[_range_of(turn)] += 1.0
        self._new_turns += 1
        if self._new_turns >= min(_KEPT_TURNS, self.counts[0]):
            self._new_turns = 0
            self._to_come.clear()

    def follow(self, turn: int, *, kept: bool) -> None:
        """Count a turn that another one followed, and whether the same arm served it."""
        k = _range_of(turn)
        self.counts[k + _RANGES] += 1.0
        self.counts[k + 2 * _RANGES] += kept

    def include(self, other: Horizon, *, sign: float = 1.0) -> None:
        """Add other counts, or take them back where ``sign`` is -1."""
        self.counts = [mine + sign * theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self._to_come.clear()

    def copy(self) -> Horizon:
        """Return the same counts, to go on by themselves."""
        return Horizon(self.counts)

    def turns_to_come(self, turn: int) -> float:
        """Return the expected number of turns after that one."""
        return self.ahead(turn)[0]

    def ahead(self, turn: int) -> tuple[float, float]:
        """Return the expected number of turns after that one, and of those that its arm serves before another one."""
        k = _range_of(turn)
        if (known := self._to_come.get(k)) is None:
            known = self._to_come[k] = self._expect(k)
        return known

    def _expect(self, k: int) -> tuple[float, float]:
        """Return both expectations for the middle of a range, from its own rates and those of the ranges after it."""
        to_come = kept_to_come = 0.0
        for each in range(_RANGES - 1, k - 1, -1):
            reached, continued, kept = (self.counts[each + part * _RANGES] for part in range(3))
            goes_on = min((continued + _PRIOR_TURNS * _PRIOR_CONTINUED) / (reached + _PRIOR_TURNS), 1.0)
            stays = (kept + _PRIOR_TURNS * _PRIOR_KEPT) / (continued + _PRIOR_TURNS)
            length = 1 if each == 0 else 2 ** (each - 1)
            steps = length if each > k else max(length // 2, 1)
            to_come = _after(goes_on, steps, to_come, last=each == _RANGES - 1)
            kept_to_come = _after(goes_on * stays, steps, kept_to_come, last=each == _RANGES - 1)
        return min(to_come, _MOST_TURNS), min(kept_to_come, _MOST_TURNS)


def _after(rate: float, steps: int, beyond: float, *, last: bool) -> float:
    """Return the turns expected of ``steps`` turns that each go on at ``rate``, and of those ``beyond`` them."""
    if rate >= 1.0:
        return _MOST_TURNS if last else steps + beyond
    if last:
        return rate / (1.0 - rate)
    through = rate**steps
    return rate * (1.0 - through) / (1.0 - rate) + through * beyond


_RANGE_OF = tuple(max(turn - 1, 0).bit_length() for turn in range(2 ** (_RANGES - 2) + 1))  # a table, as it is faster


def _range_of(turn: int) -> int:
    return _RANGE_OF[turn] if turn < len(_RANGE_OF) else _RANGES - 1
