"""The seconds that each open decision adds to an arm's latency, learned from the latencies of decisions."""

from __future__ import annotations

_MEMORY = 300.0  # outcomes of an arm over which it is learned: servers come and go
_PRIOR_SQUARES = 10.0  # squared open decisions that count as having added nothing: few outcomes say little


class Slowdown:
    """A least-squares line of latency over open decisions, for one arm.

    Its slope is taken one standard error lower than it is estimated, and never below 0: an arm without a queue is not
    taken to have one. Outcomes weigh ``1 - 1/300`` of the next one.

    Examples
    --------
    >>> slowdown = Slowdown()
    >>> for open_decisions in [0, 1, 2, 3, 4] * 20:
    ...     slowdown.learn(open_decisions, latency_seconds=1.0 + 0.5 * open_decisions)
    >>> round(slowdown.seconds_per_decision, 1), round(slowdown.mean_open, 1)
    (0.5, 2.0)
    """

    __slots__ = ("_covariation", "_latency_squares", "_mean_latency", "_open_squares", "_weight", "mean_open")

    def __init__(self) -> None:
        self.mean_open: float = 0.0
        self._mean_latency = 0.0
        self._weight = self._open_squares = self._latency_squares = self._covariation = 0.0

    def learn(self, open_decisions: float, latency_seconds: float) -> None:
        """Learn the latency of a decision that was made while so many others were open."""
        keep = 1.0 - 1.0 / _MEMORY
        self._weight = self._weight * keep + 1.0
        more_open = open_decisions - self.mean_open
        more_seconds = latency_seconds - self._mean_latency
        self.mean_open += more_open / self._weight
        self._mean_latency += more_seconds / self._weight
        rest = latency_seconds - self._mean_latency
        self._open_squares = self._open_squares * keep + more_open * (open_decisions - self.mean_open)
        self._latency_squares = self._latency_squares * keep + more_seconds * rest
        self._covariation = self._covariation * keep + more_open * rest

    @property
    def seconds_per_decision(self) -> float:
        """The seconds that one more open decision adds, at least 0."""
        squares = self._open_squares + _PRIOR_SQUARES
        slope = self._covariation / squares
        if slope <= 0.0 or self._weight <= 2.0:
            return 0.0
        residual = max(self._latency_squares - slope * self._covariation, 0.0)
        error = (residual / (self._weight - 2.0) / squares) ** 0.5
        return float(max(slope - error, 0.0))
