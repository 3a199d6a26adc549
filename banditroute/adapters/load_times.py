"""Load times: the seconds that a load from each tier is expected to take, and how much that is doubted.

Before anything is measured there is the backend's guess. A guess may be wrong by a factor of ten. Four sources correct
it, the later ones outweighing the earlier:

1. loads on the other servers of a fleet from the same tier, as the mean logarithm of measured over guessed seconds;
2. loads of other adapters on the same server, in the same form;
3. from 8 loads on, least squares over them: ``seconds = a + b modules + c MiB + d residents``;
4. the adapter's own loads.

The doubt that is left is the standard deviation of the logarithm of the expectation. A router prices a load one
standard deviation below its expectation, so a guess that is too high is tried, and corrected, within a few loads.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.adapters.backends.base import CostEstimate, Tier
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arrays import Vector

_RECENT_LOADS = 50  # of each adapter from each tier
_MIN_REGRESSION_LOADS = 8
_MAX_GUESS_WEIGHT = 2.0  # loads that an expectation without doubt is worth
_LOAD_LOG_STD = 0.5  # of one load around its adapter's mean
_ADAPTER_LOG_STD = 0.3  # of adapters around what their tier's loads make of the guess
_SERVER_LOG_STD = 0.5  # of the servers of a fleet around their mean
_RIDGE = 1e-6
_MIB = 2.0**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    modules: float
    mebibytes: float
    residents: float
    seconds: float
    guess_seconds: float


class LoadTimes:
    """Expected seconds of each adapter's loads, by the tier it is loaded from. Not thread-safe.

    Parameters
    ----------
    blob
        The result of ``to_bytes``, to go on from.

    Examples
    --------
    >>> times = LoadTimes()
    >>> law = AdapterSpec(name="law", path="law")
    >>> guess = CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)  # right within a factor of 10
    >>> round(guess.optimistic_seconds, 2)
    0.05
    >>> for _ in range(3):
    ...     times.add(law, 3.0, residents=2, guess=guess)
    >>> round(times.estimate(law, guess=guess, residents=2).mean_seconds, 1)
    3.0
    """

    def __init__(self, *, blob: bytes | None = None) -> None:
        self._loads: dict[Tier, dict[str, deque[_Load]]] = {}
        self._lines: dict[Tier, Vector] = {}
        self._ratios: dict[Tier, tuple[float, int]] = {}  # sum and number of log(measured / guessed)
        for name, rows in json.loads(blob or b"{}").items():
            for row in rows:
                # Rows of earlier releases have four numbers, and were loads from disk.
                modules, mebibytes, residents, seconds, guess_seconds, source = (*row, row[3], "disk")[:6]
                load = _Load(
                    modules=modules,
                    mebibytes=mebibytes,
                    residents=residents,
                    seconds=seconds,
                    guess_seconds=guess_seconds,
                )
                self._of(Tier(source), name).append(load)
        for source in self._loads:
            self._fit(source)

    def add(self, adapter: AdapterSpec, seconds: float, *, residents: int, guess: CostEstimate) -> None:
        """Count a load of ``adapter``.

        Parameters
        ----------
        seconds
            How long it took.
        residents
            Number of adapters that were resident.
        guess
            The backend's guess before it, whose ``source`` is the tier it came from.
        """
        load = _Load(
            modules=adapter.modules or 0,
            mebibytes=(adapter.size_bytes or 0) / _MIB,
            residents=residents,
            seconds=seconds,
            guess_seconds=guess.mean_seconds,
        )
        self._of(guess.source, adapter.name).append(load)
        self._fit(guess.source)

    def estimate(
        self, adapter: AdapterSpec, *, guess: CostEstimate, residents: int, peers: Iterable[LoadTimes] = ()
    ) -> CostEstimate:
        """Return the expected time to load ``adapter`` from the tier of ``guess``, and the doubt that is left.

        ``peers`` are the load times of the other servers of a fleet.
        """
        own = [load.seconds for load in self._loads.get(guess.source, {}).get(adapter.name, ())]
        expected, log_std = self._from_others(adapter, guess, residents, peers)
        weight = 1.0 / (1.0 / _MAX_GUESS_WEIGHT + (log_std / _LOAD_LOG_STD) ** 2)
        mean = (sum(own) + weight * expected) / (len(own) + weight)
        tail = guess.p95_seconds / guess.mean_seconds if guess.mean_seconds > 0.0 else 1.0
        # A quantile of few loads is the largest of them, and still too low.
        p95 = max(float(np.quantile(own, 0.95)), mean) if len(own) >= 20 else max(tail * mean, *own, mean)
        if log_std > 0.0:
            log_std = _LOAD_LOG_STD / math.sqrt(len(own) + (_LOAD_LOG_STD / log_std) ** 2)
        return CostEstimate(mean_seconds=mean, p95_seconds=p95, n=len(own), log_std=log_std, source=guess.source)

    def to_bytes(self) -> bytes:
        """Return the latest loads of all adapters as JSON."""
        rows: dict[str, list[list[float | str]]] = {}
        for source, adapters in self._loads.items():
            for name, loads in adapters.items():
                rows.setdefault(name, []).extend(
                    [load.modules, load.mebibytes, load.residents, load.seconds, load.guess_seconds, source.value]
                    for load in loads
                )
        return json.dumps(rows).encode()

    def _of(self, source: Tier, name: str) -> deque[_Load]:
        return self._loads.setdefault(source, {}).setdefault(name, deque(maxlen=_RECENT_LOADS))

    def _from_others(
        self, adapter: AdapterSpec, guess: CostEstimate, residents: int, peers: Iterable[LoadTimes]
    ) -> tuple[float, float]:
        """Return what all loads from this tier say of ``adapter``, and the doubt."""
        doubtful = guess.log_std > 0.0
        line = self._lines.get(guess.source)
        if line is not None:
            like = np.array([1.0, adapter.modules or 0, (adapter.size_bytes or 0) / _MIB, residents])
            every = [load.seconds for loads in self._loads[guess.source].values() for load in loads]
            expected = float(np.clip(like @ line, min(every) / 2.0, 2.0 * max(every)))
            return expected, _ADAPTER_LOG_STD if doubtful else 0.0
        if not doubtful:
            return guess.mean_seconds, 0.0
        elsewhere = [peer._ratios.get(guess.source, (0.0, 0)) for peer in peers]
        there = sum(total for total, _ in elsewhere), sum(n for _, n in elsewhere)
        shift, variance = _posterior(0.0, guess.log_std**2, *there)
        if there[1]:
            variance += _SERVER_LOG_STD**2
        here = self._ratios.get(guess.source, (0.0, 0))
        shift, variance = _posterior(shift, variance, *here)
        if there[1] or here[1]:
            variance += _ADAPTER_LOG_STD**2
        return guess.mean_seconds * math.exp(shift), math.sqrt(variance)

    def _fit(self, source: Tier) -> None:
        """Fit the line through all loads from a tier; a little ridge decides what they leave open."""
        every = [load for loads in self._loads[source].values() for load in loads]
        ratios = [
            math.log(load.seconds / load.guess_seconds) for load in every if load.seconds > 0 and load.guess_seconds > 0
        ]
        self._ratios[source] = (sum(ratios), len(ratios))
        if len(every) >= _MIN_REGRESSION_LOADS:
            self._lines[source] = _regression(every)


def _posterior(mean: float, variance: float, total: float, n: int) -> tuple[float, float]:
    """Return mean and variance of a logarithm, after n loads whose logarithms add up to ``total``."""
    noise = _LOAD_LOG_STD**2
    return (mean * noise + total * variance) / (noise + n * variance), variance * noise / (noise + n * variance)


def _regression(loads: Sequence[_Load]) -> Vector:
    x = np.array([[1.0, load.modules, load.mebibytes, load.residents] for load in loads])
    y = np.array([load.seconds for load in loads])
    size = np.maximum(np.abs(x).max(axis=0), 1.0)
    scaled = x / size
    ridge = _RIDGE * len(loads) * np.diag([0.0, 1.0, 1.0, 1.0])
    line: Vector = np.linalg.solve(scaled.T @ scaled + ridge, scaled.T @ y) / size
    return line
