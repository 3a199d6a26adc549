"""What paging an adapter in costs: the seconds that its loads took, and a regression for those seldom loaded."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

import numpy as np

from banditroute.adapters.backends.base import CostEstimate
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arrays import Vector

_RECENT = 50  # loads of an adapter that are remembered
_PRIOR_LOADS = 2.0  # that the expectation from other adapters is worth
_ENOUGH = 8  # loads, of all adapters together, before the regression is believed
_RIDGE = 1e-6
_MIB = 2.0**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    modules: float
    mebibytes: float
    residents: float
    seconds: float


class PagingCosts:
    """Expected seconds of each adapter's loads.

    An adapter's expectation is the mean of its latest loads and of what is expected of an adapter like it, the latter
    counting as 2 loads: by least squares on all loads, ``seconds = a + b modules + c MiB + d residents``, between half
    the least and twice the most of them; or, until 8 loads are measured, what the backend says.

    Parameters
    ----------
    blob
        What ``to_bytes`` gave before.

    Examples
    --------
    >>> costs = PagingCosts()
    >>> law = AdapterSpec(name="law", path="law")
    >>> prior = CostEstimate(mean_seconds=1.0, p95_seconds=2.0)
    >>> for _ in range(6):
    ...     costs.add(law, 0.2, residents=2)
    >>> round(costs.estimate(law, prior=prior, residents=2).mean_seconds, 3)  # (6 x .2 + 2 x 1) / 8
    0.4
    """

    def __init__(self, *, blob: bytes | None = None) -> None:
        saved = json.loads(blob or b"{}")
        self._loads = {
            name: deque((_Load(**dict(zip(_Load.__slots__, row, strict=True))) for row in rows), maxlen=_RECENT)
            for name, rows in saved.items()
        }
        self._line: Vector | None = None
        self._fit()

    def add(self, adapter: AdapterSpec, seconds: float, *, residents: int) -> None:
        """A load of ``adapter`` took so many seconds, beside so many ``residents``."""
        mebibytes = (adapter.size_bytes or 0) / _MIB
        load = _Load(modules=adapter.modules or 0, mebibytes=mebibytes, residents=residents, seconds=seconds)
        self._loads.setdefault(adapter.name, deque(maxlen=_RECENT)).append(load)
        self._fit()

    def estimate(self, adapter: AdapterSpec, *, prior: CostEstimate, residents: int) -> CostEstimate:
        """What loading ``adapter`` is expected to take; ``prior`` is what the backend says before any was measured."""
        own = [load.seconds for load in self._loads.get(adapter.name, ())]
        expected = prior.mean_seconds
        if self._line is not None:
            like = np.array([1.0, adapter.modules or 0, (adapter.size_bytes or 0) / _MIB, residents])
            every = [load.seconds for loads in self._loads.values() for load in loads]
            expected = float(np.clip(like @ self._line, min(every) / 2.0, 2.0 * max(every)))
        mean = (sum(own) + _PRIOR_LOADS * expected) / (len(own) + _PRIOR_LOADS)
        tail = prior.p95_seconds / prior.mean_seconds if prior.mean_seconds > 0.0 else 1.0
        # A quantile of few loads is the largest of them, and too low still.
        p95 = max(float(np.quantile(own, 0.95)), mean) if len(own) >= 20 else max(tail * mean, *own, mean)
        return CostEstimate(mean_seconds=mean, p95_seconds=p95, n=len(own))

    def to_bytes(self) -> bytes:
        """The latest loads of all adapters, as JSON."""
        rows = {
            name: [[load.modules, load.mebibytes, load.residents, load.seconds] for load in loads]
            for name, loads in self._loads.items()
        }
        return json.dumps(rows).encode()

    def _fit(self) -> None:
        """The line through all loads; a little ridge decides what they leave open, such as one size for all."""
        every = [load for loads in self._loads.values() for load in loads]
        if len(every) < _ENOUGH:
            return
        x = np.array([[1.0, load.modules, load.mebibytes, load.residents] for load in every])
        y = np.array([load.seconds for load in every])
        size = np.maximum(np.abs(x).max(axis=0), 1.0)
        scaled = x / size
        ridge = _RIDGE * len(every) * np.diag([0.0, 1.0, 1.0, 1.0])
        self._line = np.linalg.solve(scaled.T @ scaled + ridge, scaled.T @ y) / size
