"""The evidence of named signals: how much more probable each makes a good answer, learned online."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BINS = 20  # a signal counts to the nearest twentieth, so memory is bounded
_PRIOR_ANSWERS = 4.0  # of the curve that is expected, in each bin
_PRIOR_LOG_ODDS = 1.5  # expected between an even signal and the best or the worst one
_PRIOR_STD = 1.0  # of the log odds of a bin without answers
_KEPT = 0.999  # of the weight of an answer, with each later one
_MIN_ANSWERS = 40.0  # before a signal may be switched off
_LEAST_SAVED = 0.001  # of log loss for each answer, by a signal that says something
_LARGEST_LOG_ODDS = 6.0
_MOST_GROUPS = 1000  # arms, and arms with a tag, that have curves of their own


@dataclass(slots=True)
class _Curve:
    """Log odds for each bin of a signal, relative to what was expected without it; it never falls."""

    bins: dict[int, list[float]] = field(default_factory=dict)  # bin -> answers, expected quality, quality
    prior: float = 0.0
    points: list[int] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    variances: list[float] = field(default_factory=list)

    def add(self, bin: int, expected: float, quality: float) -> None:
        for sums in self.bins.values():
            sums[:] = [_KEPT * each for each in sums]
        sums = self.bins.setdefault(bin, [0.0, 0.0, 0.0])
        sums[:] = [sums[0] + 1.0, sums[1] + expected, sums[2] + quality]
        self.derive()

    def derive(self) -> None:
        self.points = sorted(self.bins)
        heights, weights, variances = [], [], []
        for bin in self.points:
            count, expected, quality = self.bins[bin]
            mean = _inside(expected / count)
            usual = _sigmoid(_log_odds(mean) + self.prior * (2.0 * bin / _BINS - 1.0))
            share = _inside((quality + _PRIOR_ANSWERS * usual) / (count + _PRIOR_ANSWERS))
            heights.append(_log_odds(share) - _log_odds(mean))
            weights.append(count)
            variances.append(1.0 / (count * share * (1.0 - share) + _PRIOR_STD**-2))
        self.heights, self.variances = _rising(heights, weights), variances

    def at(self, bin: int) -> tuple[float, float]:
        """Return the log odds at a bin, straight between bins with answers, and their variance."""
        points = self.points
        k = bisect_left(points, bin)
        if k < len(points) and points[k] == bin:
            return self.heights[k], self.variances[k]
        usual = self.prior * (2.0 * bin / _BINS - 1.0)
        low = self.heights[k - 1] if k else -math.inf
        high = self.heights[k] if k < len(points) else math.inf
        return min(max(usual, low), high), _PRIOR_STD**2


@dataclass(slots=True)
class _Record:
    """How one signal has done: its answers, and the log loss that it saved.

    ``saved`` is what it saved beyond the signals that are better alone, and ``saved_alone`` what it saved by itself.
    """

    answers: float = 0.0
    saved: float = 0.0
    saved_alone: float = 0.0
    squared_error: float = 0.0

    @property
    def off(self) -> bool:
        return self.answers >= _MIN_ANSWERS and self.saved <= _LEAST_SAVED * self.answers


class Evidence:
    """Log odds that the signals of an answer add to the quality that was expected of it. Not thread-safe.

    Each signal has an isotonic curve: a higher value never means a lower quality. A curve of all arms is corrected by
    one of each arm, and that by one of each arm and first tag, as far as graded answers are at hand. The curves are
    learned relative to the quality that was expected without the signal, so it does no harm that answers which look bad
    are graded rarely. Of several signals, the one that predicts best alone comes first, and each later one is learned
    relative to those before it. So signals that repeat each other do not count twice. A signal that predicts no better
    than those before it, or than the expectation, is switched off until it does.

    Examples
    --------
    >>> evidence = Evidence()
    >>> for k in range(200):
    ...     evidence.learn("small", (), {"judge": float(k % 2)}, expected=0.5, quality=float(k % 2))
    >>> [round(evidence.of("small", (), {"judge": value})[0]) for value in (0.0, 1.0)]
    [-6, 6]
    """

    def __init__(self) -> None:
        self._curves: dict[tuple[str, ...], _Curve] = {}
        self._records: dict[str, _Record] = {}

    def of(self, arm: str, tags: Sequence[str], signals: Mapping[str, float]) -> tuple[float, float]:
        """Return the log odds that the signals of an answer add, and their variance; without signals 0 and 0."""
        total = variance = 0.0
        for name in signals if len(signals) == 1 else self._in_order(signals):
            record = self._records.get(name)
            if record is None or not record.off:
                shift, uncertainty = self._shift(name, arm, tags, signals[name])
                total += shift
                variance += uncertainty
        return min(max(total, -_LARGEST_LOG_ODDS), _LARGEST_LOG_ODDS), variance

    def learn(
        self, arm: str, tags: Sequence[str], signals: Mapping[str, float], *, expected: float, quality: float
    ) -> None:
        """Learn from an answer whose quality is known.

        Parameters
        ----------
        expected
            Its expected quality without the signals, in [0, 1].
        """
        prior = before = _log_odds(_inside(expected))
        for name in self._in_order(signals):
            record, value = self._records.setdefault(name, _Record()), signals[name]
            shift = self._shift(name, arm, tags, value)[0]
            record.answers = _KEPT * record.answers + 1.0
            for attribute, known in (("saved", before), ("saved_alone", prior)):
                saved = _loss(_sigmoid(known), quality) - _loss(_sigmoid(known + shift), quality)
                setattr(record, attribute, _KEPT * getattr(record, attribute) + saved)
            record.squared_error = _KEPT * record.squared_error + (_sigmoid(before + shift) - quality) ** 2
            self._add(name, arm, tags, _bin(value), before, quality)
            if not record.off:
                before += shift

    def _in_order(self, signals: Mapping[str, float]) -> list[str]:
        """Return the names of signals, the one that saves the most log loss alone first."""
        nothing = _Record()
        return sorted(signals, key=lambda name: (-self._records.get(name, nothing).saved_alone, name))

    def _add(self, name: str, arm: str, tags: Sequence[str], bin: int, known: float, quality: float) -> None:
        """Add a graded answer to the curves of a signal, each relative to those of wider groups."""
        for group in self._groups(name, arm, tags):
            curve = self._curves.get(group)
            if curve is None:
                if len(self._curves) >= _MOST_GROUPS:
                    return
                curve = self._curves[group] = _Curve(prior=_PRIOR_LOG_ODDS if len(group) == 1 else 0.0)
            shift = curve.at(bin)[0]
            curve.add(bin, _sigmoid(known), quality)
            known += shift

    def report(self) -> dict[str, dict[str, float]]:
        """Return how each signal does: graded answers, root mean squared error, log loss saved, and whether it is off.

        Examples
        --------
        >>> evidence = Evidence()
        >>> evidence.learn("small", (), {"judge": 1.0}, expected=0.5, quality=1.0)
        >>> evidence.report()["judge"]["answers"]
        1.0
        """
        return {
            name: {
                "answers": record.answers,
                "error": (record.squared_error / record.answers) ** 0.5,
                "log_loss_saved": record.saved / record.answers,
                "off": float(record.off),
            }
            for name, record in self._records.items()
            if record.answers
        }

    def to_bytes(self) -> bytes:
        """Return all of it, to be stored."""
        curves = [[list(group), list(curve.bins.items())] for group, curve in self._curves.items()]
        records = {name: [getattr(r, each) for each in _Record.__slots__] for name, r in self._records.items()}
        return json.dumps({"curves": curves, "records": records}).encode()

    @classmethod
    def from_bytes(cls, blob: bytes | None) -> Evidence:
        """Return what ``to_bytes`` gave; nothing is known for None."""
        evidence = cls()
        stored: Mapping[str, Any] = json.loads(blob) if blob else {"curves": [], "records": {}}
        for group, bins in stored["curves"]:
            curve = _Curve({int(bin): list(map(float, sums)) for bin, sums in bins})
            curve.prior = _PRIOR_LOG_ODDS if len(group) == 1 else 0.0
            curve.derive()
            evidence._curves[tuple(group)] = curve
        evidence._records = {name: _Record(*map(float, values)) for name, values in stored["records"].items()}
        return evidence

    def _shift(self, name: str, arm: str, tags: Sequence[str], value: float) -> tuple[float, float]:
        bin, total, variance = _bin(value), 0.0, _PRIOR_STD**2
        for group in self._groups(name, arm, tags):
            curve = self._curves.get(group)
            if curve is None:
                if len(group) == 1:
                    total = _PRIOR_LOG_ODDS * (2.0 * bin / _BINS - 1.0)
                break
            shift, of_curve = curve.at(bin)
            total, variance = total + shift, min(variance, of_curve)
        return total, variance

    @staticmethod
    def _groups(name: str, arm: str, tags: Sequence[str]) -> list[tuple[str, ...]]:
        groups: list[tuple[str, ...]] = [(name,), (name, arm)]
        return [*groups, (name, arm, tags[0])] if tags else groups


def _rising(heights: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the nearest sequence that never falls, by pooling adjacent violators."""
    pools: list[list[float]] = []  # mean, weight, number of points
    for height, weight in zip(heights, weights, strict=True):
        pools.append([height, weight, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            later, earlier = pools.pop(), pools[-1]
            total = earlier[1] + later[1]
            earlier[:] = [(earlier[0] * earlier[1] + later[0] * later[1]) / total, total, earlier[2] + later[2]]
    return [mean for mean, _, points in pools for _ in range(int(points))]


def _bin(value: float) -> int:
    return round(float(value) * _BINS)


def _inside(share: float) -> float:
    return min(max(share, 0.01), 0.99)


def _log_odds(share: float) -> float:
    return math.log(share / (1.0 - share))


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))


def _loss(predicted: float, quality: float) -> float:
    """Return the log loss of a prediction, also for a quality between 0 and 1."""
    predicted = min(max(predicted, 1e-3), 1.0 - 1e-3)
    return -quality * math.log(predicted) - (1.0 - quality) * math.log(1.0 - predicted)
